"""What the video encoders share: a 2-D CNN on single frames."""

import timm
import torch
from torch import Tensor, nn

# ImageNet's, which published weights expect.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FrameCnn(nn.Module):
    """ResNet-18 up to its third stage on each frame (the fourth, 512 wide, costs more than it gives here)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(3,))
        self.channels = self.trunk.feature_info.channels()[-1]
        # uint8 to float: (x / 255 - mean) / std, as one multiplication and one addition
        scale = 1 / (255 * torch.tensor(STD))
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", -torch.tensor(MEAN) / torch.tensor(STD), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, 3) uint8 to (batch, channels, height / 16, width / 16), rounded up."""
        x = x * self.scale + self.shift
        return self.trunk(x.permute(0, 3, 1, 2))[-1]  # NHWC seen as NCHW is channels-last already


def pooled(x: Tensor) -> Tensor:
    """(batch, channels, height, width) to (batch, 2 channels): mean and maximum over positions.

    The maximum finds what is small in a large picture (AVE-Net, arXiv 1712.06651, pools by it alone).
    """
    return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
