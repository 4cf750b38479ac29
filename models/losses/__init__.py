"""Losses: what embeddings or scores are trained with.

A loss is built from its constants, keywords that stand under its name in params.yaml, section `losses`. Its
`pairs` says what it is called with; one sampler (pipeline/dataset/pairing.py) serves all:

- "pairs": (audio, video, target, logits): (P, dim) twice, (P,) 1 for a match or 0, the matcher's logits (P,);
- "triplets": (video, right, wrong): (P, dim) each, a picture, a sound that matches it, one that does not;
- "quadruples": ((audio, video), (audio, video), target, logits): two clips, (P, dim) four times, whether
  they match, and the matcher's logits for the first one's sound with the second one's picture;
- "batch": (audio, video, same): (B, dim) twice, row i of one matching row i of the other, and (B, B) bool:
  what matches, and so cannot be each other's negatives (the diagonal, clips of one video, or of one label).

`trains_matcher` says whether its gradient reaches the matcher. Embeddings come with length 1, in the
precision of the encoders; a loss computes in single precision.
"""

from models.registry import Registry

losses = Registry("loss", __name__, __path__)
