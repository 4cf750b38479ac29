"""Audio encoders: `(batch, channels, freq, time)` float to `(batch, dim)`."""

from models.registry import Registry

encoders = Registry("audio encoder", __name__, __path__)
