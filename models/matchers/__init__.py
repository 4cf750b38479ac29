"""Matchers, a file each: they map embeddings of sounds and pictures to logits.

Embeddings are (batch, dim) of each modality, logits (batch,). A logit is higher if the two belong together.
The attribute `by_distance` says whether ranking by logits equals ranking by Euclidean distance, which is much
cheaper.
"""

from models.registry import Registry

matchers = Registry("matcher", __name__, __path__)
