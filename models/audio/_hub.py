"""An image network of timm or torchvision on the spectrogram."""

from typing import Any

from pydantic import PositiveInt
from torch import Tensor

from models.audio import encoders
from models.audio._input import standardize
from models.parts.hub import Trunk
from models.parts.network import NetworkEncoder, Trainable


@encoders.register
class Hub(NetworkEncoder):
    """`timm/<name>` or `torchvision/<name>`, with its first convolution adapted to the channels, then linear.

    shape: (channels, freq, time) of one input.
    pretrained: True downloads the published weights; a path is a file of weights, or a folder with
    `<name>.safetensors`; False: random weights.
    input_size: height and width to which spectrograms are scaled; None: those that the network was trained
    with, if it is pretrained, otherwise spectrograms keep their size.
    trainable: `none`, `all`, `lora`, or n for the last n blocks. lora_rank: of `lora`.
    definition: for a network whose weights are loaded later: the attribute of this name of the first one.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        *,
        name: str,
        pretrained: bool | str = False,
        input_size: PositiveInt | None = None,
        trainable: Trainable = "all",
        lora_rank: PositiveInt = 8,
        definition: dict[str, Any] | None = None,
    ) -> None:
        trunk = Trunk(name, shape[0], shape[1:], pretrained, trainable, lora_rank, input_size, definition)
        super().__init__(trunk, trunk.n_features, dim, trunk.definition)

    def compute_features(self, x: Tensor) -> Tensor:
        """Map spectrograms (batch, channels, freq, time) to the network's vectors (batch, n_features)."""
        return self.trunk(standardize(x))
