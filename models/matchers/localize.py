"""Where in the picture is the sound, and is it anywhere?"""

import torch
from torch import Tensor, nn

from models.matchers import matchers


@matchers.register
class Localize(nn.Module):
    """The largest logit over all places: max_p (w <a, v_p> + b).

    a is the sound's vector, v_p the picture's at place p. AVOL-Net (arXiv 1712.06651, section 5) with its 1x1
    convolution on the map of scalar products written as w and b; it starts undecided.
    """

    by_distance = False
    has_map = True  # for encoders with a vector for each place; with one place it is the scalar product

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.offset = nn.Parameter(torch.tensor(0.0))

    def map(self, audio: Tensor, video: Tensor) -> Tensor:
        """(batch, dim) and (batch, places * dim) to logits (batch, places)."""
        vectors = video.float().unflatten(1, (-1, self.dim))
        return self.scale * torch.einsum("bd,bpd->bp", audio.float(), vectors) + self.offset

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """The same to logits (batch,), above 0 where they match."""
        return self.map(audio, video).amax(1)
