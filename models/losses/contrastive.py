"""The contrastive loss: matches near, other pairs at least a margin apart."""

from pydantic import PositiveFloat
from torch import Tensor, nn

from models.losses import losses
from models.matchers.distance import distance


@losses.register
class Contrastive(nn.Module):
    """1/2 (y d^2 + (1 - y) [margin - d]+^2), the mean over pairs; d the Euclidean distance (0 to 2).

    Source: Hadsell, Chopra, LeCun: Dimensionality Reduction by Learning an Invariant Mapping (2006);
    VideoSound-Matching, with a margin of 2.
    Needs: pairs, half of them matching.
    """

    pairs = "pairs"
    trains_matcher = False

    def __init__(self, *, margin: PositiveFloat) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, audio: Tensor, video: Tensor, target: Tensor, logits: Tensor) -> Tensor:
        d = distance(audio, video)
        match = target.float()
        return (match * d.square() + (1 - match) * (self.margin - d).relu().square()).mean() / 2
