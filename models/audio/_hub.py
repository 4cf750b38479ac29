"""An image network of timm or torchvision on the spectrogram."""

from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import standardize
from models.parts.hub import Trunk


@encoders.register
class Hub(nn.Module):
    """`timm/<name>` or `torchvision/<name>`, with its first convolution adapted to the channels, then linear.

    shape: (channels, freq, time) of one input. pretrained, frozen: as in models.parts.hub.Trunk.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        *,
        name: str,
        pretrained: bool | str = False,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = Trunk(name, shape[0], shape[1:], pretrained, frozen)
        self.project = nn.Linear(self.trunk.n_features, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.trunk(standardize(x)))
