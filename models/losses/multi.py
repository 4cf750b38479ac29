"""A loss on two clips: their two sounds, their two pictures, and the sound and picture of each clip."""

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import losses
from models.losses.cosine import cosine_embedding_loss


@losses.register
class Multi(nn.Module):
    """BCE(p, y) + weight (s(a1, a2) + s(v1, v2) + (1 - cos(a1, v1)) + (1 - cos(a2, v2))), the mean over all.

    s(x, z) = y (1 - cos(x, z)) + (1 - y) [cos(x, z) - margin]+, and p is the sigmoid of the matcher's logit
    for (a1, v2). Source: VideoSound-Matching, with weight 0.03 and margin 0.2.
    Needs: quadruples, half of them matching. It trains encoders and matcher together.
    """

    pairs = "quadruples"
    trains_matcher = True

    def __init__(self, *, weight: PositiveFloat, margin: NonNegativeFloat) -> None:
        super().__init__()
        self.weight, self.margin = weight, margin

    def forward(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], target: Tensor, logits: Tensor
    ) -> Tensor:
        (a1, v1), (a2, v2) = first, second
        ones = target.new_ones(len(target))
        terms = cosine_embedding_loss(a1, a2, target, self.margin) + cosine_embedding_loss(
            v1, v2, target, self.margin
        )
        terms = (
            terms
            + cosine_embedding_loss(a1, v1, ones, self.margin)
            + cosine_embedding_loss(a2, v2, ones, self.margin)
        )
        return F.binary_cross_entropy_with_logits(logits.float(), target.float()) + self.weight * terms
