"""Tasks: Lightning modules that put encoders, matcher and loss together."""

from models.registry import Registry

tasks = Registry("task", __name__, __path__)
