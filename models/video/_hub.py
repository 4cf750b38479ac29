"""An image network of timm or torchvision on the middle frame."""

from torch import Tensor, nn

from models.parts.hub import Trunk
from models.video import encoders
from models.video._frames import Normalize


@encoders.register
class Hub(nn.Module):
    """`timm/<name>` or `torchvision/<name>` on the middle frame, then linear.

    shape: (frames, height, width, channels) of one input. pretrained, frozen: as in models.parts.hub.Trunk.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        name: str,
        pretrained: bool | str = False,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = Normalize(shape[3])
        self.trunk = Trunk(name, shape[3], shape[1:3], pretrained, frozen)
        self.project = nn.Linear(self.trunk.n_features, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.trunk(self.normalize(x[:, x.shape[1] // 2])))
