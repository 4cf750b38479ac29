"""Losses of embeddings or scores, a file each.

The keywords of a loss are its constants, under its name in the section `losses` of params.yaml. Its `pairs`
names its arguments, which one sampler (pipeline/dataset/pairing.py) provides:

- "pairs": (audio, video, target, logits): (P, dim) twice, (P,) 1 for a match or 0, the matcher's logits (P,);
- "triplets": (video, positive, negative): (P, dim) each: a picture, a sound that matches, one that does not;
- "quadruples": ((audio, video), (audio, video), target, logits): two clips, (P, dim) four times, whether
  they match, and the matcher's logits for the first one's sound with the second one's picture;
- "batch": (audio, video, related): (B, dim) twice, row i of one matching row i of the other, and (B, B) bool:
  which clips are not each other's negatives (the diagonal, clips of one video, or of one label).

`trains_matcher`: whether its gradient reaches the matcher. Embeddings have length 1 and the precision of the
encoders; a loss computes in single precision.
"""

from models.registry import Registry

losses = Registry("loss", __name__, __path__)
