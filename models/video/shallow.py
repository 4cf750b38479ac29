"""The image CNN of identification by face: two convolutions on the middle frame."""

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from models.parts.shallow import Shallow as Net
from models.video import encoders


@encoders.register
class Shallow(nn.Module):
    """Two convolutions on the middle frame, each with max-pool 2; then linear, ReLU, dropout, linear.

    shape: (frames, height, width, channels) of one input, 0 to 255. width: output channels of the first
    convolution. Source: a system for identification on VoxCeleb.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        width: PositiveInt = 32,
        dropout: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__()
        self.net = Net(shape[3], shape[1:3], dim, width, dropout)

    def forward(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to embeddings (batch, dim)."""
        middle_frame = video[:, video.shape[1] // 2]
        return self.net(middle_frame.movedim(-1, 1) / 255)
