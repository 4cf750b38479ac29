"""Modules that video encoders share: 2-D networks on single frames."""

import timm
import torch
from torch import Tensor, nn

from models.parts.hub import Trunk, load_pretrained

# Mean and standard deviation of ImageNet's colours, which published weights expect.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """Normalizes (batch, ..., channels) of 0 to 255 for published weights: (batch, channels, ...) float.

    channels: 3, or a multiple of it for stacked pictures.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        # (x / 255 - mean) / std, as one multiplication and one addition
        mean, std = (torch.tensor(x).repeat(channels // 3) for x in (MEAN, STD))
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.scale + self.shift).movedim(-1, 1)  # NHWC seen as NCHW is channels-last already


class FrameCnn(nn.Module):
    """ResNet-18 up to its third stage on each frame (the fourth, 512 wide, is not worth its cost here).

    pretrained, frozen: as in models.parts.hub.Trunk; the weights are those of timm/resnet18.
    """

    def __init__(self, channels: int = 3, pretrained: bool | str = False, frozen: bool = False) -> None:
        super().__init__()
        self.frozen = frozen
        options = {"pretrained": False, "features_only": True, "out_indices": (3,)}
        self.trunk = timm.create_model("resnet18", in_chans=channels, **options)
        self.channels = self.trunk.feature_info.channels()[-1]
        load_pretrained(self.trunk, "timm/resnet18", pretrained, channels)
        if frozen:
            self.requires_grad_(False)
        self.normalize = Normalize(channels)

    def train(self, mode: bool = True) -> "FrameCnn":
        return super().train(mode and not self.frozen)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, height, width, 3) uint8 to (batch, channels, height / 16, width / 16), rounded up."""
        return self.trunk(self.normalize(x))[-1]


class FrameTrunk(nn.Module):
    """Maps (batch, frames, height, width, 3) uint8 to a vector for each frame, (batch, frames, features).

    trunk: `timm/<name>` or `torchvision/<name>`; if empty, `FrameCnn` with mean and maximum over positions.
    """

    def __init__(
        self, shape: tuple[int, int, int, int], trunk: str, pretrained: bool | str, frozen: bool
    ) -> None:
        super().__init__()
        if trunk:
            net = Trunk(trunk, shape[3], shape[1:3], pretrained, frozen)
            self.net: nn.Module = nn.Sequential(Normalize(shape[3]), net)
            self.n_features = self.net[1].n_features
        else:
            self.net = FrameCnn(shape[3], pretrained, frozen)
            self.n_features = 2 * self.net.channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.net(x.flatten(0, 1))
        return (pool(y) if y.ndim == 4 else y).unflatten(0, x.shape[:2])

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the mean feature map of all frames, (batch, channels, height / 16, width / 16)."""
        return self.net(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1)


def pool(x: Tensor) -> Tensor:
    """Pool (batch, channels, height, width) to (batch, 2 channels): mean and maximum over positions.

    The maximum detects small objects in a large picture (AVE-Net, arXiv 1712.06651, uses it alone).
    """
    return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
