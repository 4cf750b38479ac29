"""Binary cross-entropy of the matcher's logits."""

from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import losses


@losses.register
class Bce(nn.Module):
    """-y log p - (1 - y) log(1 - p), p the sigmoid of the matcher's logit, y 1 for a match and 0 for none.

    Source: Look, Listen and Learn (arXiv 1705.08168); AVE-Net (arXiv 1712.06651).
    Needs: pairs, half of them matching. It trains encoders and matcher together.

    Every loss is built from the section `train` of the parameters; its `pairs` says what it is called with:
    - "pairs": (audio, video, target, logits): (P, dim) twice, (P,) 1 or 0, and the matcher's logits (P,);
    - "triplets": (video, right, wrong): (P, dim) each, a picture, a sound that matches it, one that does not;
    - "batch": (audio, video, same): (B, dim) twice, row i of one matching row i of the other, and (B, B)
      bool: what may not count as each other's negatives (the diagonal, clips of one video, or of one label).
    `trains_matcher` says whether its gradient reaches the matcher.
    """

    pairs = "pairs"
    trains_matcher = True

    def __init__(self, train) -> None:
        super().__init__()

    def forward(self, audio: Tensor, video: Tensor, target: Tensor, logits: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits.float(), target.float())
