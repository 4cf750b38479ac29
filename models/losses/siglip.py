"""The sigmoid loss: classify each pair of a sound and a picture of the batch as match or not."""

import math

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import losses


@losses.register
class Siglip(nn.Module):
    """-1/B sum_ij log sigmoid(z_ij (cos(a_i, v_j) / t + b)), z 1 on the diagonal and -1 elsewhere.

    Matches off the diagonal are left out. t and b are learned, starting from the constants. Source: Sigmoid
    Loss for Language Image Pre-Training (arXiv 2303.15343, section 3.2), where they are 0.1 and -10.
    Needs: the whole batch.
    """

    pairs = "batch"
    trains_matcher = False

    def __init__(self, *, temperature: PositiveFloat, bias: float) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(self, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
        cosine = F.normalize(audio.float(), dim=1) @ F.normalize(video.float(), dim=1).T
        diagonal = torch.eye(len(cosine), dtype=torch.bool, device=cosine.device)
        logits = cosine / self.log_temperature.float().exp() + self.bias.float()
        cost = -F.logsigmoid(torch.where(diagonal, logits, -logits))
        return cost.masked_fill(related & ~diagonal, 0.0).sum() / len(cosine)
