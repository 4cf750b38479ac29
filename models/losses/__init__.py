"""Losses of embeddings or scores, a file each.

The keywords of a loss are its constants, under its name in the section `losses` of params.yaml. Its attribute
`pairs` says which arguments it gets. P is the number of pairs, B that of clips in a batch; embeddings are
(P, dim) or (B, dim). The task matching forms the pairs from batches of pipeline/dataset/pairing.py:

- "pairs": (audio, video, target, logits): embeddings of P pairs of a sound and a picture; `target` (P,), 1
  for a match and 0 for none; and the matcher's logits (P,);
- "triplets": (video, positive, negative): embeddings of P pictures, of a sound that matches each of them, and
  of a sound that does not;
- "quadruples": ((audio, video), (audio, video), target, logits): embeddings of P pairs of clips, each with
  its sound and its picture; `target` (P,), 1 if both clips match and 0 if not; and the matcher's logits (P,)
  for the first clip's sound with the second clip's picture;
- "batch": (audio, video, related): embeddings of B sounds and B pictures, of which row i of one matches row i
  of the other; and (B, B) bool, which clips are not each other's negatives (each clip itself, and clips of
  one video or of one label).

Its attribute `trains_matcher` says whether its gradient reaches the matcher. Embeddings have length 1 and the
precision of the encoders; a loss computes in single precision, and returns one number.
"""

from models.registry import Registry

losses = Registry("loss", __name__, __path__)
