"""The triplet loss: a picture is nearer to a matching sound than to another one, by a margin."""

from pydantic import PositiveFloat
from torch import Tensor, nn

from models.losses import losses
from models.matchers.distance import distance


@losses.register
class Triplet(nn.Module):
    """[d(v, a+) - d(v, a-) + m]+, the mean over triplets.

    d is the Euclidean distance of the L2-normalized embeddings (0 to 2), m the margin.
    Source: FaceNet (arXiv 1503.03832, section 3.1), without its square.
    Needs: triplets of a picture, a sound that matches it and one that does not.
    """

    pairs = "triplets"
    trains_matcher = False

    def __init__(self, *, margin: PositiveFloat) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, video: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return (distance(video, positive) - distance(video, negative) + self.margin).relu().mean()
