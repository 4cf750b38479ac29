"""Encoders that read sound and picture with one network, a module each."""

from models.registry import Registry

encoders = Registry("encoder", __name__, __path__)
