"""The sigmoid loss: classify each pair of a sound and a picture of the batch as match or not."""

import math

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import losses


@losses.register
class Siglip(nn.Module):
    """-1/B sum_ij log sigmoid(z_ij (cos(a_i, v_j) / t + b)), where z_ij is 1 if i = j and -1 otherwise.

    a_i and v_j are the embeddings of sound i and picture j. Pairs of different clips that are not each
    other's negatives are left out of the sum. t and b are learned, starting from the constants.
    Source: Sigmoid Loss for Language Image Pre-Training (arXiv 2303.15343, section 3.2), where they are
    0.1 and -10.
    Needs: the whole batch.
    """

    pairs = "batch"
    trains_matcher = False

    def __init__(self, *, temperature: PositiveFloat, bias: float) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(self, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
        """Compute the loss of a batch: embeddings (B, dim) twice, whose rows i match.

        related: (B, B) bool, which clips are not each other's negatives.
        """
        cosine = F.normalize(audio.float(), dim=1) @ F.normalize(video.float(), dim=1).T
        is_same_clip = torch.eye(len(cosine), dtype=torch.bool, device=cosine.device)
        logits = cosine / self.log_temperature.float().exp() + self.bias.float()
        pair_losses = -F.logsigmoid(torch.where(is_same_clip, logits, -logits))
        return pair_losses.masked_fill(related & ~is_same_clip, 0.0).sum() / len(cosine)
