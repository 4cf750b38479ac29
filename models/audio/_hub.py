"""An image network of timm or torchvision on the spectrogram."""

from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import standardize
from models.parts.hub import Trunk


@encoders.register
class Hub(nn.Module):
    """`timm/<name>` or `torchvision/<name>`, with its first convolution adapted to the channels, then linear.

    shape: (channels, freq, time) of one input.
    pretrained: True downloads the published weights; a path is a file of weights; False: random weights.
    frozen: the network is not trained, only the layers after it.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        *,
        name: str,
        pretrained: bool | str = False,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = Trunk(name, shape[0], shape[1:], pretrained, frozen)
        self.n_features = self.trunk.n_features
        self.project = nn.Linear(self.n_features, dim)

    def compute_features(self, audio: Tensor) -> Tensor:
        """Map spectrograms (batch, channels, freq, time) to the network's vectors (batch, n_features)."""
        return self.trunk(standardize(audio))

    def forward(self, audio: Tensor) -> Tensor:
        """Map spectrograms (batch, channels, freq, time) to embeddings (batch, dim)."""
        return self.project(self.compute_features(audio))
