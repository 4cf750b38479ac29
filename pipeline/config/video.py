"""The sections `video` and `faces`."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.fields import Section, one_of


class VideoParams(Section):
    """The section `video` of params.yaml: the frames that are stored, and those that a model sees."""

    frames: int = Field(ge=1, le=10_000, description="stored for each clip, evenly spaced; 1: the middle one")
    height: int = Field(ge=16, le=4320, description="pixels")
    width: int = Field(ge=16, le=7680, description="pixels")
    fit: Annotated[str, one_of("crop", "squeeze")] = Field(
        description="crop: the middle of the picture; squeeze: all of it, whatever its aspect"
    )
    window_frames: int = Field(
        ge=1, description="what a model sees at once: the frames nearest to the frame position"
    )
    training_frame: Annotated[str, one_of("middle", "random")] = Field(
        description="frame position in training: the window's middle, or a random place in it"
    )

    @model_validator(mode="after")
    def _check_window_frames(self) -> "VideoParams":
        """Raise ValueError if a window has more frames than a clip."""
        if self.window_frames > self.frames:
            raise ValueError(f"window_frames {self.window_frames} is more than frames {self.frames}")
        return self


class FacesParams(Section):
    """The section `faces` of params.yaml: how faces are cut out of frames."""

    enabled: bool = Field(
        description="true: the stage faces cuts the largest face out of each frame (input: face)"
    )
    model: str | None = Field(min_length=1, description="YuNet's .onnx file; null: OpenCV's Haar cascade")
    frames: Annotated[str, one_of("middle", "every")] = Field(
        description="the middle frame of a clip, or every one of video.frames"
    )
    size: int = Field(ge=16, le=4320, description="pixels of a side of the square")
    margin: float = Field(ge=0, le=2, description="on each side, as a share of the face's box")
    align: bool = Field(description="true: turn the face until the eyes are level")
