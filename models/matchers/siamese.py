"""A shared network on each embedding, then a small network on both outputs."""

import torch
from torch import Tensor, nn

from models.matchers import matchers


@matchers.register
class Siamese(nn.Module):
    """The same network on each embedding x, linear(ReLU(linear(ReLU(x)))), then a network on both outputs.

    The second one is linear layers of sizes 2d -> d -> d/2 -> 1 with ReLU between them, where d is the size
    of an embedding. Embeddings are scaled by sqrt(d) first: entries of a vector of length 1 are then about 1.
    Source: VideoSound-Matching, its shared network and predictor.
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
        outputs = [self.shared(embedding * self.scale) for embedding in (audio, video)]
        return self.layers(torch.cat(outputs, dim=1)).squeeze(1)
