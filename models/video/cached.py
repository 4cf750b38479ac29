"""A head on the stored features of frozen networks for pictures (section `towers` of params.yaml)."""

from models.parts.cached import CachedEncoder
from models.video import encoders


@encoders.register
class Cached(CachedEncoder):
    """`linear`, `mlp` or `attention` on the features that the stage video_towers stores.

    shape: (frames, height, width, 3) of one window. Other arguments: see CachedEncoder.
    """

    registry = encoders
