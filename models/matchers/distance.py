"""A matcher that scales the distance of two embeddings."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.matchers import matchers

EPSILON = 1e-8  # keeps the gradient of the square root finite if both embeddings are equal


@matchers.register
class Distance(nn.Module):
    """logit = w d + b, where d is the Euclidean distance of the L2-normalized embeddings (0 to 2).

    w and b are learned. It starts with w = -5 and b = 6: a small distance means a match, and the threshold,
    where the logit is 0, is d = 1.2 (see also `center`). Source: AVE-Net (arXiv 1712.06651, section 3.2),
    with the two outputs of its softmax written as one logit.
    """

    by_distance = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)
        with torch.no_grad():
            self.linear.weight.fill_(-5.0)
            self.linear.bias.fill_(6.0)

    def center(self) -> None:
        """Start with the threshold where random unit vectors are, sqrt(2) apart.

        For losses whose gradient goes through the matcher to the encoders. From a threshold of 1.2, the
        quickest way to a mean logit of 0 is that all embeddings move nearer to each other, until they are
        one point and nothing can be learned.
        """
        with torch.no_grad():
            self.linear.bias.copy_(-self.linear.weight[0] * math.sqrt(2))

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map embeddings (batch, dim) to logits (batch,), above 0 for a match."""
        return self.linear(euclidean_distance(audio, video)[:, None]).squeeze(1)


def euclidean_distance(first: Tensor, second: Tensor) -> Tensor:
    """Compute the Euclidean distance (0 to 2) of two embeddings, after scaling both to length 1.

    first, second: (batch, dim). Returns (batch,) float32.
    """
    difference = F.normalize(first.float(), dim=1) - F.normalize(second.float(), dim=1)
    return (difference.square().sum(1) + EPSILON).sqrt()
