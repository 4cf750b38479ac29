"""A head on the stored features of frozen networks for sound (section `towers` of params.yaml)."""

from models.audio import encoders
from models.parts.cached import CachedEncoder


@encoders.register
class Cached(CachedEncoder):
    """`linear`, `mlp` or `attention` on the features that the stage audio_towers stores.

    shape: (channels, freq, time) of one window. Other arguments: see CachedEncoder.
    """

    registry = encoders
