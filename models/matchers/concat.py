"""A small network on two concatenated embeddings."""

import torch
from torch import Tensor, nn

from models.matchers import matchers


@matchers.register
class Concat(nn.Module):
    """Linear layers of sizes 2d -> d -> d/2 -> 1 with ReLU between them, where d is the size of an embedding.

    The input is both embeddings, scaled by sqrt(d): entries of a vector of length 1 are then about 1.
    """

    by_distance = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = max(dim // 2, 1)
        self.scale = dim**0.5
        self.layers = nn.Sequential(
            nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, half), nn.ReLU(), nn.Linear(half, 1)
        )

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map embeddings (batch, dim), of length 1, to logits (batch,), above 0 for a match."""
        return self.layers(torch.cat([audio, video], dim=1) * self.scale).squeeze(1)
