"""The section `quality`: which clips are reported as poor, and which of them are left out."""

from typing import Annotated

from pydantic import Field

from pipeline.config.fields import Section, one_of

Flag = Annotated[
    str,
    one_of(
        "silent", "quiet", "clipped", "narrow", "still", "black", "letterboxed", "cuts", "short", "duplicate"
    ),
]


class QualityParams(Section):
    """The section `quality` of params.yaml: from which value on a clip has a flag, and what is left out."""

    drop: list[Flag] = Field(
        description="flags, such as [still, silent]: split leaves these clips out; []: only report them"
    )
    duplicates: Annotated[str, one_of("sound", "picture", "any", "both", "none")] = Field(
        description="what clips share that split keeps together: sound, picture, any or both of them;"
        " none: no search"
    )
    silent: float = Field(gt=0, le=1, description="share of the sound that is silent, at least")
    quiet: float = Field(ge=-70, le=0, description="loudness in LUFS, at most")
    clipped: float = Field(gt=0, le=1, description="share of samples at full scale, at least")
    narrow: float = Field(
        ge=0, le=1, description="bandwidth as a share of half of audio.sample_rate, at most"
    )
    still: float = Field(ge=0, le=1, description="change of the part that changes most, at most")
    black: float = Field(gt=0, le=1, description="share of frames that are black, at least")
    letterboxed: float = Field(gt=0, le=1, description="share of the picture that is black bars, at least")
    cuts: int = Field(ge=1, description="cuts that the stored frames show, at least")
    short: float = Field(gt=0, le=1, description="duration as a share of what was asked for, below")
