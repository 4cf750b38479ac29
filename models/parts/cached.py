"""A projector on the features of towers: what is trained where frozen networks do the seeing and hearing."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.parts.towers import Towers
from models.registry import Registry
from pipeline.dataset.windows import Segments
from pipeline.errors import UserError

Head = Literal["linear", "mlp", "attention"]


class CachedEncoder(nn.Module):
    """A head on features, (batch, vectors, n_features) -> (batch, dim). A vector is of a segment or a frame.

    Each number of a vector is standardized over the batch, and then by the mean and deviation of all batches.
    head: `linear`, the mean of the vectors, then linear; `mlp`, the mean, then two layers; `attention`, a
    weighted mean whose weights are learned (arXiv 1703.03130, one hop), then two layers.
    hidden: width between the two layers. dropout: before the last layer.

    Training reads stored features and needs no tower. For a window of sound or of frames, `attach_towers`
    must be called before.

    A subclass sets `registry`, that of the encoders of its modality. shape: of a window. features: the entry
    of the modality under `features` in config.json: `towers`, name -> keywords, `dim`, and for sound
    `columns` and `hop_columns`.
    """

    registry: ClassVar[Registry]

    def __init__(
        self,
        shape: tuple[int, ...],
        dim: int,
        features: dict[str, Any] | None = None,
        *,
        head: Head = "mlp",
        hidden: PositiveInt = 512,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
    ) -> None:
        super().__init__()
        if features is None:
            kind = self.registry.kind
            raise UserError(f"{kind} cached: reads features of towers: name networks under towers")
        self.shape, self.features = shape, features
        n_features = features["dim"]
        self.towers: Towers | None = None
        # Outputs of a network have large means and small deviations: without this, they train slowly.
        self.standardize = nn.BatchNorm1d(n_features, affine=False)
        self.attention = nn.Linear(n_features, 1) if head == "attention" else None
        layers: list[nn.Module] = [nn.Linear(n_features, dim)]
        if head != "linear":
            layers = [nn.Linear(n_features, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)]
        self.project = nn.Sequential(*layers)

    def attach_towers(self, pretrained: bool = True) -> None:
        """Build the towers, so that windows can be embedded.

        pretrained: load their weights, as their keywords say; False: they are loaded with the model's.
        """
        networks = self.features["towers"]
        if not pretrained:
            networks = {name: keywords | {"pretrained": False} for name, keywords in networks.items()}
        segments = None
        if "columns" in self.features:
            segments = Segments(self.features["columns"], self.features["hop_columns"])
        self.towers = Towers(self.registry, networks, self.shape, segments)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map features (batch, vectors, n_features), or windows, to embeddings (batch, dim)."""
        if inputs.ndim > 3:
            if self.towers is None:
                raise RuntimeError("attach_towers was not called: the encoder takes only stored features")
            inputs = self.towers(inputs)
        features = self.standardize(inputs.float().flatten(0, 1)).unflatten(0, inputs.shape[:2])
        if self.attention is None:
            return self.project(features.mean(1))
        weights = self.attention(features).softmax(1)  # (batch, vectors, 1)
        return self.project((weights * features).sum(1))
