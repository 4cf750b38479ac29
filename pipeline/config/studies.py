"""The studies: tables of several experiments, each the default experiment with some settings changed."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipeline.config.fields import AudioEncoder, Loss, Section, VideoEncoder

# What the experiments of a study on the default data may change: nothing that data are made from.
SETTABLE = (
    "augment",
    "audio_encoder",
    "classification",
    "encoder",
    "encoders",
    "evaluate",
    "label",
    "loss",
    "losses",
    "matcher",
    "modality",
    "pairing",
    "pretraining",
    "task",
    "train",
    "video.training_frame",
    "video.window_frames",
    "video_encoder",
)
CHANGES = "settings that differ from those above, by their keys as `dvc exp run -S` has them"
SEEDS = "each of these seeds trains a model"


def _settable(values: dict[str, Any]) -> dict[str, Any]:
    for key in values:
        if not any(key == name or key.startswith(f"{name}.") for name in SETTABLE):
            raise ValueError(
                f"{key}: cannot be set here; what can: {', '.join(SETTABLE)} and what is under them"
            )
    return values


Settings = Annotated[dict[str, Any], AfterValidator(_settable)]


class GridParams(Section):
    audio_encoder: list[AudioEncoder] = Field(min_length=1, description="each of these audio encoders")
    video_encoder: list[VideoEncoder] = Field(min_length=1, description="with each of these video encoders")
    loss: list[Loss] = Field(min_length=1, description="under each of these losses")
    set: Settings = Field(description=CHANGES)
    leaders: int = Field(ge=0, description="number of the best that are trained again")
    seeds: list[int] = Field(description="with each of these seeds")


class RetrievalParams(Section):
    set: Settings = Field(description=CHANGES)
    seeds: list[int] = Field(min_length=1, description=SEEDS)


class SettingsParams(Section):
    set: dict[str, Any] = Field(description=CHANGES)


class StudyParams(SettingsParams):
    seeds: list[int] = Field(min_length=1, description=SEEDS)


class CavMaeParams(StudyParams):
    labels: float = Field(
        gt=0, le=1, description="share of the training clips whose labels are used afterwards"
    )
    probe: Settings = Field(description="settings that differ for linear probing")


class SharedEncoderParams(StudyParams):
    networks: list[VideoEncoder] = Field(
        min_length=1, description="frame, cnn (3-D), torchvision/vgg16 as published"
    )
    pretrained: str | None = Field(
        min_length=1, description="file of weights for the networks: adds a row, and the others start from it"
    )
