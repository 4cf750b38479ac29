"""Video encoders: `(batch, frames, height, width, 3)` uint8 to `(batch, dim)`."""

from models.registry import Registry

encoders = Registry("video encoder", __name__, __path__)
