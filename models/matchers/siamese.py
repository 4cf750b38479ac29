"""A shared network on each embedding, then a small network on both outputs."""

import torch
from torch import Tensor, nn

from models.matchers import matchers


@matchers.register
class Siamese(nn.Module):
    """s(x) = linear(ReLU(linear(ReLU(x)))), the same for both; then 2d -> d -> d/2 -> 1 with ReLU between.

    Source: VideoSound-Matching, its shared network and predictor. Unit vectors of d entries are scaled by
    sqrt(d), so that the first layer sees entries of about 1.
    """

    by_distance = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = max(dim // 2, 1)
        self.scale = dim**0.5
        self.shared = nn.Sequential(nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.layers = nn.Sequential(
            nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, half), nn.ReLU(), nn.Linear(half, 1)
        )

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map embeddings (batch, dim), of length 1, to logits (batch,), above 0 for a match."""
        both = [self.shared(x * self.scale) for x in (audio, video)]
        return self.layers(torch.cat(both, dim=1)).squeeze(1)
