"""The contrastive loss: matches near, other pairs at least a margin apart."""

from pydantic import PositiveFloat
from torch import Tensor, nn

from models.losses import losses
from models.matchers.distance import euclidean_distance


@losses.register
class Contrastive(nn.Module):
    """1/2 (y d^2 + (1 - y) [margin - d]+^2), the mean over pairs.

    d is the Euclidean distance of the L2-normalized embeddings (0 to 2), y the target, 1 for a match and
    0 for none, and [x]+ is max(x, 0).
    Source: Hadsell, Chopra, LeCun: Dimensionality Reduction by Learning an Invariant Mapping (2006);
    VideoSound-Matching, with a margin of 2. At a mean distance of margin / 2 matches pull as strongly as
    other pairs push. Random embeddings are sqrt(2) apart: from a margin of 2 sqrt(2) on, training does not
    begin by moving all of them nearer to each other, which can end in one point.
    Needs: pairs, half of them matching.
    """

    pairs = "pairs"
    trains_matcher = False

    def __init__(self, *, margin: PositiveFloat) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, audio: Tensor, video: Tensor, target: Tensor, logits: Tensor) -> Tensor:
        """Compute the loss of P pairs: embeddings (P, dim) twice, target (P,). The logits are not used."""
        distance = euclidean_distance(audio, video)
        target = target.float()
        match_loss = distance.square()
        mismatch_loss = (self.margin - distance).relu().square()
        return (target * match_loss + (1 - target) * mismatch_loss).mean() / 2
