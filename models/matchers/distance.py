"""A matcher that scales the distance of two embeddings."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.matchers import matchers


@matchers.register
class Distance(nn.Module):
    """logit = w d + b, d the Euclidean distance of the L2-normalized embeddings (0 to 2).

    AVE-Net (arXiv 1712.06651, section 3.2) with the two outputs of its softmax written as one logit. It
    starts with w < 0, so that a small distance means a match, and with a threshold of d = 1.2: random unit
    vectors are about 1.4 apart.
    """

    by_distance = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)
        with torch.no_grad():
            self.linear.weight.fill_(-5.0)
            self.linear.bias.fill_(6.0)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map embeddings (batch, dim) to logits (batch,), above 0 for a match."""
        return self.linear(distance(audio, video)[:, None]).squeeze(1)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Compute the Euclidean distance of L2-normalized rows: (batch, dim) twice to (batch,) float32.

    d^2 = 2 - 2 cos; the small constant keeps the gradient of the square root finite if both are equal.
    """
    a, b = F.normalize(a.float(), dim=1), F.normalize(b.float(), dim=1)
    return ((a - b).square().sum(1) + 1e-8).sqrt()
