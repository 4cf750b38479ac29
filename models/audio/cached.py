"""A head on the stored features of frozen networks for sound (section `towers` of params.yaml)."""

from typing import Annotated, Any

from pydantic import Field, PositiveInt

from models.audio import encoders
from models.parts.cached import CachedEncoder, Head


@encoders.register
class Cached(CachedEncoder):
    """`linear`, `mlp` or `attention` on the features that the stage audio_towers stores.

    shape: (channels, freq, time) of one window. features: what config.json says about the
    features of audio. head, hidden, dropout: see models/parts/cached.py.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        features: dict[str, Any] | None = None,
        *,
        head: Head = "mlp",
        hidden: PositiveInt = 512,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
    ) -> None:
        super().__init__(encoders, shape, dim, features, head, hidden, dropout)
