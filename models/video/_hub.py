"""An image network of timm or torchvision on the middle frame."""

from typing import Any

from pydantic import PositiveInt
from torch import Tensor

from models.parts.hub import Trunk
from models.parts.network import NetworkEncoder, Trainable
from models.video import encoders
from models.video._frames import Normalize


@encoders.register
class Hub(NetworkEncoder):
    """`timm/<name>` or `torchvision/<name>` on the middle frame, then linear.

    shape: (frames, height, width, channels) of one input.
    pretrained: True downloads the published weights; a path is a file of weights, or a folder with
    `<name>.safetensors`; False: random weights.
    input_size: height and width to which frames are scaled; None: those that the network was trained with, if
    it is pretrained, otherwise frames keep their size.
    trainable: `none`, `all`, `lora`, or n for the last n blocks. lora_rank: of `lora`.
    definition: for a network whose weights are loaded later: the attribute of this name of the first one.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        name: str,
        pretrained: bool | str = False,
        input_size: PositiveInt | None = None,
        trainable: Trainable = "all",
        lora_rank: PositiveInt = 8,
        definition: dict[str, Any] | None = None,
    ) -> None:
        trunk = Trunk(name, shape[3], shape[1:3], pretrained, trainable, lora_rank, input_size, definition)
        super().__init__(trunk, trunk.n_features, dim, trunk.definition)
        self.normalize = Normalize(shape[3], trunk.definition["mean"], trunk.definition["std"])

    def compute_features(self, x: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to vectors of the middle frames.

        The result is (batch, n_features).
        """
        middle_frame = x[:, x.shape[1] // 2]
        return self.trunk(self.normalize(middle_frame))
