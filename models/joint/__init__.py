"""Encoders of both modalities, a module each: one network for sound and picture."""

from models.registry import Registry

encoders = Registry("encoder", __name__, __path__)
