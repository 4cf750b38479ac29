"""A matcher that localizes the sound in the picture."""

import torch
from torch import Tensor, nn

from models.matchers import matchers


@matchers.register
class Localize(nn.Module):
    """The largest logit over all positions p of the picture's map: max_p (w <a, v_p> + b).

    a is the embedding of the sound, v_p that of the picture at position p, and <a, v_p> their scalar product.
    w and b are learned. Source: AVOL-Net (arXiv 1712.06651, section 5), with its 1x1 convolution on the map
    of scalar products written as w and b.
    """

    by_distance = False
    has_map = True  # reads a vector for each position of a map; a single vector is a map of one position

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.offset = nn.Parameter(torch.tensor(0.0))

    def map(self, audio: Tensor, video: Tensor) -> Tensor:
        """Compute the logit of the sound at each position of the picture: (batch, positions).

        audio: (batch, dim). video: (batch, positions * dim), the vectors of all positions in one row.
        """
        position_vectors = video.float().unflatten(1, (-1, self.dim))  # (batch, positions, dim)
        scalar_products = torch.einsum("bd,bpd->bp", audio.float(), position_vectors)
        return self.scale * scalar_products + self.offset

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map audio (batch, dim) and video (batch, positions * dim) to logits (batch,): above 0 a match."""
        return self.map(audio, video).amax(1)
