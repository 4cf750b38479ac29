"""The section `media`: how files are decoded."""

from typing import Annotated

from pydantic import Field

from pipeline.config.fields import Section, one_of


class MediaParams(Section):
    """The section `media` of params.yaml: which decoder reads the sound and the picture of files."""

    decoder: Annotated[str, one_of("pyav", "ffmpeg")] = Field(
        description="pyav: in the stage's processes; ffmpeg: the program that EARSIGHT_FFMPEG or the system "
        "gives, for its codecs or hardware, several times slower (docs/hardware.md)"
    )
    retry: bool = Field(description="true: what one of them cannot decode goes to the other")
