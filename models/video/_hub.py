"""An image network of timm or torchvision on the middle frame."""

from torch import Tensor, nn

from models.parts.hub import Trunk
from models.video import encoders
from models.video._frames import Normalize


@encoders.register
class Hub(nn.Module):
    """`timm/<name>` or `torchvision/<name>` on the middle frame, then linear.

    shape: (frames, height, width, channels) of one input.
    pretrained: True downloads the published weights; a path is a file of weights; False: random weights.
    frozen: the network is not trained, only the layers after it.
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
        self.n_features = self.trunk.n_features
        self.project = nn.Linear(self.n_features, dim)

    def compute_features(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to vectors of the middle frames.

        The result is (batch, n_features).
        """
        middle_frame = video[:, video.shape[1] // 2]
        return self.trunk(self.normalize(middle_frame))

    def forward(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to embeddings (batch, dim)."""
        return self.project(self.compute_features(video))
