"""The triplet loss: a picture is nearer to a matching sound than to another one, by a margin."""

from pydantic import PositiveFloat
from torch import Tensor, nn

from models.losses import losses
from models.matchers.distance import euclidean_distance


@losses.register
class Triplet(nn.Module):
    """[d(v, a+) - d(v, a-) + m]+, the mean over triplets.

    v is the embedding of a picture, a+ that of a sound that matches it, and a- that of one that does not.
    d is the Euclidean distance of the L2-normalized embeddings (0 to 2), m the margin, and [x]+ is max(x,
    0).
    Source: FaceNet (arXiv 1503.03832, section 3.1), without its square.
    Needs: triplets of a picture, a sound that matches it and one that does not.
    """

    pairs = "triplets"
    trains_matcher = False

    def __init__(self, *, margin: PositiveFloat) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, video: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Compute the loss of P triplets: (P, dim) of pictures, of matching sounds, and of other sounds."""
        positive_distance = euclidean_distance(video, positive)
        negative_distance = euclidean_distance(video, negative)
        return (positive_distance - negative_distance + self.margin).relu().mean()
