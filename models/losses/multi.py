"""A loss on two clips: their two sounds, their two pictures, and the sound and picture of each clip."""

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import losses
from models.losses.cosine import cosine_embedding_loss


@losses.register
class Multi(nn.Module):
    """BCE(p, y) + weight (s(a1, a2) + s(v1, v2) + (1 - cos(a1, v1)) + (1 - cos(a2, v2))), the mean over all.

    a1 and v1 are the embeddings of sound and picture of the first clip, a2 and v2 those of the second; y
    is the target, 1 if both clips match and 0 if not.
    s(x, z) = y (1 - cos(x, z)) + (1 - y) [cos(x, z) - margin]+, where [u]+ is max(u, 0). p is the sigmoid
    of the matcher's logit for (a1, v2).
    Source: VideoSound-Matching, with weight 0.03 and margin 0.2.
    Needs: quadruples, half of them matching. It trains encoders and matcher together.
    """

    pairs = "quadruples"
    trains_matcher = True

    def __init__(self, *, weight: PositiveFloat, margin: NonNegativeFloat) -> None:
        super().__init__()
        self.weight = weight
        self.margin = margin

    def forward(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], target: Tensor, logits: Tensor
    ) -> Tensor:
        """Compute the loss of P pairs of clips.

        first, second: embeddings of sound and picture of both clips, (P, dim) each. target, logits: (P,).
        """
        audio_1, video_1 = first
        audio_2, video_2 = second
        always_match = target.new_ones(len(target))  # sound and picture of one clip
        embedding_loss = (
            cosine_embedding_loss(audio_1, audio_2, target, self.margin)
            + cosine_embedding_loss(video_1, video_2, target, self.margin)
            + cosine_embedding_loss(audio_1, video_1, always_match, self.margin)
            + cosine_embedding_loss(audio_2, video_2, always_match, self.margin)
        )
        matcher_loss = F.binary_cross_entropy_with_logits(logits.float(), target.float())
        return matcher_loss + self.weight * embedding_loss
