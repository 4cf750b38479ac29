"""Losses: what an embedding, or a score, is trained with. See `models.losses.bce` for what one says of itself."""

from models.registry import Registry

losses = Registry("loss", __name__, __path__)
