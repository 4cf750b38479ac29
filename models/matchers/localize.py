"""A matcher that localizes the sound in the picture."""

import torch
from torch import Tensor, nn

from models.matchers import matchers


@matchers.register
class Localize(nn.Module):
    """The largest logit over all positions of a map: max_p (w <a, v_p> + b).

    a is the sound's vector, v_p the picture's at position p. AVOL-Net (arXiv 1712.06651, section 5) with its
    1x1 convolution on the map of scalar products written as w and b.
    """

    by_distance = False
    has_map = True  # for encoders that give a map; for one position it is the scalar product

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.offset = nn.Parameter(torch.tensor(0.0))

    def map(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map (batch, dim) and (batch, positions * dim) to logits (batch, positions)."""
        vectors = video.float().unflatten(1, (-1, self.dim))
        return self.scale * torch.einsum("bd,bpd->bp", audio.float(), vectors) + self.offset

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map the same to logits (batch,), above 0 for a match."""
        return self.map(audio, video).amax(1)
