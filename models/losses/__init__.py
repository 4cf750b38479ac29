"""Losses: what embeddings or scores are trained with. `models.losses.bce` tells what one says of itself."""

from models.registry import Registry

losses = Registry("loss", __name__, __path__)
