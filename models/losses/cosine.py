"""The cosine embedding loss plus the matcher's cross-entropy."""

from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import losses


@losses.register
class Cosine(nn.Module):
    """y (1 - cos(a, v)) + (1 - y) [cos(a, v) - margin]+ + bce * BCE(p, y), the mean over pairs.

    a and v are the embeddings of sound and picture, y is the target, 1 for a match and 0 for none, [x]+ is
    max(x, 0), and p is the sigmoid of the matcher's logit. `bce` is the weight of the binary cross-entropy.
    Source: VideoSound-Matching, with a margin of 0.2 and a weight of 0.1.
    Needs: pairs, half of them matching. It trains encoders and matcher together.
    """

    pairs = "pairs"
    trains_matcher = True

    def __init__(self, *, margin: NonNegativeFloat, bce: NonNegativeFloat) -> None:
        super().__init__()
        self.margin = margin
        self.bce = bce

    def forward(self, audio: Tensor, video: Tensor, target: Tensor, logits: Tensor) -> Tensor:
        """Compute the loss of P pairs: embeddings (P, dim) twice, target and logits (P,)."""
        embedding_loss = cosine_embedding_loss(audio, video, target, self.margin)
        matcher_loss = F.binary_cross_entropy_with_logits(logits.float(), target.float())
        return embedding_loss + self.bce * matcher_loss


def cosine_embedding_loss(first: Tensor, second: Tensor, target: Tensor, margin: NonNegativeFloat) -> Tensor:
    """Compute y (1 - cos) + (1 - y) [cos - margin]+, the mean over P pairs of embeddings.

    first, second: (P, dim); cos is their cosine. target: (P,), y, 1 for a match and 0 for none. [x]+ is
    max(x, 0).
    """
    cosine = F.cosine_similarity(first.float(), second.float())
    return (target * (1 - cosine) + (1 - target) * (cosine - margin).relu()).mean()
