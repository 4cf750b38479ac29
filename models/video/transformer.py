"""A 2-D CNN on each frame, then a transformer over time (VideoSound-Matching)."""

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from models.parts.sequence import Transformer as Sequence
from models.video import encoders
from models.video._frames import FrameTrunk


@encoders.register
class Transformer(nn.Module):
    """A 2-D CNN on every frame, linear to `inner`, sinusoidal positions, `layers` with `heads`, linear.

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
        layers: PositiveInt = 2,
        heads: PositiveInt = 2,
        forward: PositiveInt = 512,
        dropout: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__()
        self.frames = FrameTrunk(shape, trunk, pretrained, frozen)
        self.sequence = Sequence(
            shape[0], self.frames.n_features, dim, inner, layers, heads, forward, dropout
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.sequence(self.frames(x))
