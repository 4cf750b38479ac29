"""Binary cross-entropy of the matcher's logits."""

from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import losses


@losses.register
class Bce(nn.Module):
    """-y log p - (1 - y) log(1 - p), the mean over pairs; p is the sigmoid of the matcher's logit.

    y is the target, 1 for a match and 0 for none.
    Source: Look, Listen and Learn (arXiv 1705.08168); AVE-Net (arXiv 1712.06651).
    Needs: pairs, half of them matching. It trains encoders and matcher together.
    """

    pairs = "pairs"
    trains_matcher = True

    def forward(self, audio: Tensor, video: Tensor, target: Tensor, logits: Tensor) -> Tensor:
        """Compute the loss from target and logits, (P,) each, for P pairs. The embeddings are not used."""
        return F.binary_cross_entropy_with_logits(logits.float(), target.float())
