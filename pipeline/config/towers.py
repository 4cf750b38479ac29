"""The section `towers`."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipeline.config.fields import Section, one_of

CACHED = "cached"  # the encoder that reads the features of towers


def _check_library(name: str) -> str:
    """Return the name of a network as it is. Raise ValueError if it is not one of a library."""
    check_name: Any = one_of(allows_hubs=True).func
    return check_name(name)


def _check_distinct(names: list[str]) -> list[str]:
    """Return a list of names as it is. Raise ValueError if a name is in it twice."""
    if len(set(names)) < len(names):
        raise ValueError("a network is listed twice")
    return names


TowerName = Annotated[str, AfterValidator(_check_library)]
TowerNames = Annotated[list[TowerName], AfterValidator(_check_distinct)]


class TowersParams(Section):
    """The section `towers` of params.yaml: frozen networks whose outputs are computed once and stored."""

    audio: TowerNames = Field(
        description="networks for sound, such as [timm/resnet18]; several: concatenated"
    )
    video: TowerNames = Field(description="networks for pictures; their keywords are under encoders")
    segment_seconds: float | None = Field(
        gt=0, le=600, description="sound that a network hears at once; null: audio.window_seconds"
    )
    hop_seconds: float | None = Field(
        gt=0, le=600, description="from one segment of sound to the next; null: segment_seconds"
    )
