"""Matchers, a file each: they map embeddings of sounds and pictures to logits.

Embeddings are (batch, dim) of each modality, logits (batch,). A logit is higher if the two belong together.
The attribute `by_distance` says whether ranking by logits equals ranking by Euclidean distance, which is much
cheaper. A matcher may have a method `center`, which moves the initial threshold to where pairs of random
embeddings are. It is called if the loss trains the matcher.
"""

from models.registry import Registry

matchers = Registry("matcher", __name__, __path__)
