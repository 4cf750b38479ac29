"""A 2-D CNN on each frame, then an LSTM over time (VideoSound-Matching)."""

from pydantic import PositiveInt
from torch import Tensor, nn

from models.parts.sequence import Lstm
from models.video import encoders
from models.video._frames import FrameTrunk


@encoders.register
class CnnLstm(nn.Module):
    """A 2-D CNN on every frame, linear to `inner`, bidirectional LSTM of `layers` and `hidden`, linear.

    shape: (frames, height, width, channels) of one input. trunk, pretrained, frozen: as in
    models.video._frames.FrameTrunk. Source: VideoSound-Matching, with these sizes.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        trunk: str = "",
        pretrained: bool | str = False,
        frozen: bool = False,
        inner: PositiveInt = 512,
        hidden: PositiveInt = 8,
        layers: PositiveInt = 5,
    ) -> None:
        super().__init__()
        self.frames = FrameTrunk(shape, trunk, pretrained, frozen)
        self.sequence = Lstm(shape[0], self.frames.n_features, dim, inner, hidden, layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.sequence(self.frames(x))
