"""InfoNCE: classify which sound of the batch belongs to a picture, and which picture to a sound."""

import math

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import losses

MIN_TEMPERATURE = 0.01  # as in CLIP; below it, one hard negative dominates the batch


@losses.register
class Infonce(nn.Module):
    """1/2 (mean_i -log softmax_j(cos(a_i, v_j) / t)_i + mean_i -log softmax_j(cos(v_i, a_j) / t)_i).

    j runs over i itself and over the rows that are its negatives. t is learned, starting from
    the constant. Source: CPC (arXiv 1807.03748), in both directions as in CLIP (arXiv 2103.00020).
    Needs: the whole batch, as large as memory allows; every other row is a negative.

    learned: whether t is learned. both_ways: false keeps only the second term, sounds for each picture, as in
    CAV-MAE (arXiv 2210.07839, section 3.1).
    """

    pairs = "batch"
    trains_matcher = False

    def __init__(self, *, temperature: PositiveFloat, learned: bool = True, both_ways: bool = True) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)), requires_grad=learned)
        self.both_ways = both_ways

    def forward(self, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
        temperature = self.log_temperature.float().exp().clamp(min=MIN_TEMPERATURE)
        cosine = F.normalize(audio.float(), dim=1) @ F.normalize(video.float(), dim=1).T  # (B, B)
        rows = torch.arange(len(cosine), device=cosine.device)
        excluded = related & (rows[:, None] != rows)
        logits = (cosine / temperature).masked_fill(excluded, float("-inf"))
        if not self.both_ways:
            return F.cross_entropy(logits.T, rows)
        return (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, rows)) / 2
