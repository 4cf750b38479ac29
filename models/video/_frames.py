"""Modules that video encoders share: 2-D networks, which are applied to single frames."""

from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from models.parts.hub import UNTRAINED, Trunk
from models.parts.hub_weights import load_pretrained
from models.parts.network import Trainable

# Mean and standard deviation of ImageNet's colours, which most published weights expect.
MEAN, STD = UNTRAINED["mean"], UNTRAINED["std"]


class Normalize(nn.Module):
    """Normalize colours by a mean and a standard deviation (of 0 to 1), those of ImageNet by default.

    Maps (batch, ..., channels) of 0 to 255 to (batch, channels, ...) float.
    channels: 3, or a multiple of it for stacked pictures.
    """

    def __init__(self, channels: int = 3, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> None:
        super().__init__()
        # (frames / 255 - mean) / std, as one multiplication and one addition
        means, stds = (torch.tensor(x).repeat(channels // 3) for x in (mean, std))
        self.register_buffer("scale", 1 / (255 * stds), persistent=False)
        self.register_buffer("shift", -means / stds, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (batch, ..., channels) to (batch, channels, ...)."""
        # Moving the axis copies nothing: the result is in PyTorch's channels-last memory format.
        return (frames * self.scale + self.shift).movedim(-1, 1)


class FrameCnn(nn.Module):
    """ResNet-18 up to its third stage. The fourth stage, 512 wide, is not worth its cost here.

    channels: of the frames. pretrained: True downloads the weights of timm/resnet18; a path is a file of
    weights, or a folder with resnet18.safetensors; False: random weights. frozen: this network is not
    trained. It accepts any size, so frames are not scaled; its weights were trained on ImageNet's colours.
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
        """Set the training mode. A frozen network stays in evaluation mode: its batch norms do not change."""
        return super().train(mode and not self.frozen)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (batch, height, width, 3) uint8 to (batch, channels, height / 16, width / 16), rounded up."""
        return self.trunk(self.normalize(frames))[-1]


class FrameTrunk(nn.Module):
    """A 2-D network that maps each frame to a vector of `n_features` numbers.

    shape: (frames, height, width, channels) of one input.
    trunk: `timm/<name>` or `torchvision/<name>`; if empty, `FrameCnn` with mean and maximum over positions.
    pretrained: True downloads the published weights; a path is a file of weights, or a folder with
    `<name>.safetensors`; False: random weights. frozen: this network is not trained. definition: the
    attribute of this name of such a network with weights (models/parts/hub.py); None for FrameCnn.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        trunk: str,
        pretrained: bool | str,
        frozen: bool,
        definition: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.definition: dict[str, Any] | None = None
        if trunk:
            trainable: Trainable = "none" if frozen else "all"
            net = Trunk(trunk, shape[3], shape[1:3], pretrained, trainable, definition=definition)
            self.definition = net.definition
            normalize = Normalize(shape[3], net.definition["mean"], net.definition["std"])
            self.net: nn.Module = nn.Sequential(normalize, net)
            self.n_features = net.n_features
        else:
            self.net = FrameCnn(shape[3], pretrained, frozen)
            self.n_features = 2 * self.net.channels

    def forward(self, video: Tensor) -> Tensor:
        """Map (batch, frames, height, width, 3) uint8 to (batch, frames, n_features)."""
        features = self.net(video.flatten(0, 1))  # of all frames: maps of FrameCnn, or vectors of a trunk
        is_map = features.ndim == 4
        vectors = pool(features) if is_map else features
        return vectors.unflatten(0, video.shape[:2])

    def feature_map(self, video: Tensor) -> Tensor:
        """Return the mean feature map of all frames, (batch, channels, height / 16, width / 16), rounded up.

        video: (batch, frames, height, width, 3) uint8. Only for FrameCnn: a trunk has vectors, no maps.
        """
        return self.net(video.flatten(0, 1)).unflatten(0, video.shape[:2]).mean(1)


def pool(features: Tensor) -> Tensor:
    """Pool (batch, channels, height, width) to (batch, 2 channels): mean and maximum over positions.

    The maximum detects small objects in a large picture. AVE-Net (arXiv 1712.06651) uses the maximum alone.
    """
    return torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
