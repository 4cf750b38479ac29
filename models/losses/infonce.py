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

    a_i and v_i are the embeddings of sound and picture of clip i; j runs over i itself and over the clips
    that are its negatives.
    Source: CPC (arXiv 1807.03748), in both directions as in CLIP (arXiv 2103.00020).
    Needs: the whole batch, as large as memory allows; every other row is a negative.

    temperature: t or, if it is learned, the value from which it starts. learned: whether t is learned.
    both_ways: false keeps only the second term, which looks for the sound of each picture, as in CAV-MAE
    (arXiv 2210.07839, section 3.1).
    """

    pairs = "batch"
    trains_matcher = False

    def __init__(self, *, temperature: PositiveFloat, learned: bool = True, both_ways: bool = True) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)), requires_grad=learned)
        self.both_ways = both_ways

    def forward(self, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
        """Compute the loss of a batch: embeddings (B, dim) twice, whose rows i match.

        related: (B, B) bool, which clips are not each other's negatives.
        """
        temperature = self.log_temperature.float().exp().clamp(min=MIN_TEMPERATURE)
        cosine = F.normalize(audio.float(), dim=1) @ F.normalize(video.float(), dim=1).T  # (B, B)
        indices = torch.arange(len(cosine), device=cosine.device)
        is_excluded = related & (indices[:, None] != indices)  # neither the match itself nor a negative
        logits = (cosine / temperature).masked_fill(is_excluded, float("-inf"))  # rows: sounds
        # The right answer of row i is i.
        if not self.both_ways:
            return F.cross_entropy(logits.T, indices)
        return (F.cross_entropy(logits, indices) + F.cross_entropy(logits.T, indices)) / 2
