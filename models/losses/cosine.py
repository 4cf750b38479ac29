"""The cosine embedding loss plus the matcher's cross-entropy."""

from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import losses


@losses.register
class Cosine(nn.Module):
    """y (1 - cos(a, v)) + (1 - y) [cos(a, v) - margin]+ + bce * BCE(p, y), the mean over pairs.

    p is the sigmoid of the matcher's logit. Source: VideoSound-Matching, with a margin of 0.2 and
    a weight of 0.1 for the cross-entropy.
    Needs: pairs, half of them matching. It trains encoders and matcher together.
    """

    pairs = "pairs"
    trains_matcher = True

    def __init__(self, *, margin: NonNegativeFloat, bce: NonNegativeFloat) -> None:
        super().__init__()
        self.margin, self.bce = margin, bce

    def forward(self, audio: Tensor, video: Tensor, target: Tensor, logits: Tensor) -> Tensor:
        angle = cosine_embedding_loss(audio, video, target, self.margin)
        return angle + self.bce * F.binary_cross_entropy_with_logits(logits.float(), target.float())


def cosine_embedding_loss(a: Tensor, b: Tensor, target: Tensor, margin: NonNegativeFloat) -> Tensor:
    """Compute the mean of y (1 - cos) + (1 - y) [cos - margin]+ over rows.

    a, b: (P, dim). target: (P,), y, 1 for a match and 0 for none.
    """
    cosine = F.cosine_similarity(a.float(), b.float())
    return (target * (1 - cosine) + (1 - target) * (cosine - margin).relu()).mean()
