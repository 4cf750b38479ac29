"""Matchers: two embeddings of `(batch, dim)` to one logit each, higher where they belong together.

`by_distance` says whether ranking by score is ranking by Euclidean distance, which is much cheaper.
"""

from models.registry import Registry

matchers = Registry("matcher", __name__, __path__)
