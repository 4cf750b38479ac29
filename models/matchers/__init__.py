"""Matchers: they map two embeddings of `(batch, dim)` to logits `(batch,)`, higher if they belong together.

`by_distance`: whether ranking by score equals ranking by Euclidean distance, which is much cheaper.
"""

from models.registry import Registry

matchers = Registry("matcher", __name__, __path__)
