"""All of params.yaml: keys outside sections, small sections, and checks across sections."""

import functools
import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config.audio import AudioParams
from pipeline.config.components import check_keywords, task
from pipeline.config.data import DataParams, DownloadParams, SplitParams
from pipeline.config.fields import (
    AudioEncoder,
    JointEncoder,
    Loss,
    Matcher,
    Section,
    Seed,
    Task,
    VideoEncoder,
    component_names,
    one_of,
)
from pipeline.config.train import AugmentParams, ClassificationParams, PretrainingParams, TrainParams
from pipeline.config.video import FacesParams, VideoParams

Keywords = dict[str, dict[str, Any]]  # name of a component -> keywords of its class


class EncodersParams(Section):
    audio: Keywords = Field(description="by names in models/audio")
    video: Keywords = Field(description="by names in models/video")
    joint: Keywords = Field(
        description="by names in models/joint; size of cav_mae: tiny, or base as published"
    )


class EvaluateParams(Section):
    frames: int = Field(
        ge=1, le=10_000, description="frame positions in a window; a classifier's answers are averaged"
    )
    bootstrap: int = Field(ge=100, le=100_000, description="resamples for each 95% interval")


class IndexParams(Section):
    kind: Annotated[str, one_of("auto", "flat", "hnsw", "ivf_pq")] = Field(
        description="flat (exact), hnsw (fast), ivf_pq (small); auto: by the number of clips"
    )


class EngineParams(Section):
    name: Literal["local", "ray"] = Field(
        description="local: processes of this machine; ray: a cluster (docs/scaling.md)"
    )
    address: str | None = Field(
        description="of a Ray cluster: host:port; auto: this machine's; null: start one for the run"
    )
    workers: int | None = Field(ge=1, le=1024, description="processes; null: one for each core")
    timeout: float = Field(gt=0, description="seconds that one clip may take")
    storage: str | None = Field(
        description="where shards are: /nfs/earsight, s3://bucket/earsight; null: data/<stage>"
    )


class Params(Section):
    task: Task = Field(
        description="matching: does a sound belong to a picture; classification: which labels a clip has; "
        "pretraining: fill in what is masked, without labels (docs/cav_mae.md)"
    )
    modality: Annotated[str, one_of("audio", "video", "both")] = Field(
        description="audio, video: two of a kind are matched (pairing: category), or one is classified"
    )
    input: Annotated[str, one_of("frame", "face")] = Field(
        description="a picture is a whole frame, or the face in it (faces.enabled)"
    )
    encoder: JointEncoder | None = Field(
        description="cav_mae: one encoder for sound and picture, not for matching; null: the two below"
    )
    audio_encoder: AudioEncoder = Field(
        description="a file in models/audio, or timm/<name>, torchvision/<name>"
    )
    video_encoder: VideoEncoder = Field(
        description="a file in models/video, or timm/<name>, torchvision/<name>"
    )
    loss: Loss = Field(description="a file in models/losses")
    matcher: Matcher = Field(description="a file in models/matchers: two embeddings to one score")
    pairing: Annotated[str, one_of("clip", "category")] = Field(
        description="what matches. clip: the same moment of a clip (no labels); category: the same label"
    )
    label: str = Field(
        min_length=1, description="category, subject, or a column of the clip table such as emotion"
    )
    seed: Seed = Field(description="of training and evaluation")
    data: DataParams = Field(description="which clips there are")
    download: DownloadParams = Field(
        description="how data.source: audioset is fetched; only url and height change the clips"
    )
    audio: AudioParams = Field(description="sound and its features, in librosa's words")
    video: VideoParams = Field(description="frames of the picture")
    faces: FacesParams = Field(description="faces that are cut out of frames")
    split: SplitParams = Field(description="which clips train, choose the epoch (val) and test")
    train: TrainParams = Field(description="how the stage train trains")
    pretraining: PretrainingParams = Field(
        description="of task: pretraining, and what encoder: cav_mae starts from"
    )
    classification: ClassificationParams = Field(description="of task: classification")
    augment: AugmentParams = Field(description="augmentation in training; evaluation has none")
    encoders: EncodersParams = Field(
        description="keywords other than the defaults, such as cnn_small: {width: 64} (docs/parameters.md)"
    )
    losses: Keywords = Field(description="keywords, by names in models/losses (docs/parameters.md)")
    evaluate: EvaluateParams = Field(description="the stage evaluate")
    index: IndexParams = Field(description="the search index")
    engine: EngineParams = Field(
        description="where data stages run, and what evaluate and index embed; it changes no result"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Replace null by the defaults that the task declares."""
        if not isinstance(values, dict) or values.get("task") not in component_names("tasks"):
            return values
        defaults = task(values["task"])["defaults"]
        return values | {k: v for k, v in defaults.items() if k in values and values[k] is None}

    @field_validator("losses", mode="after")
    @classmethod
    def _add_losses(cls, value: Keywords) -> Keywords:
        """Add the losses that are not in the file, with the defaults of their classes."""
        return {name: {} for name in component_names("losses") if name not in value} | value

    @model_validator(mode="after")
    def _sections_fit_together(self) -> "Params":
        _check_windows(self)
        _check_faces(self)
        _check_task(self)
        _check_joint_encoder(self)
        _check_encoders(self)
        _check_losses(self)
        return self

    def override(self, settings: dict[str, Any]) -> "Params":
        """Return a copy with new values of keys: {"train.epochs": 20}. Raise ValueError for bad ones."""
        values = self.model_dump()
        for key, value in settings.items():
            *sections, last = key.split(".")
            node = values
            for section in sections:
                node = node.setdefault(section, {})
                if not isinstance(node, dict):
                    raise ValueError(f"{key}: {section} has no keys")
            node[last] = value
        return Params.model_validate(values)


def _check_windows(params: Params) -> None:
    if params.audio.window_seconds > params.data.clip_seconds:
        raise ValueError(
            f"audio.window_seconds {params.audio.window_seconds:g} is longer than "
            f"data.clip_seconds {params.data.clip_seconds:g}"
        )


def _check_faces(params: Params) -> None:
    if params.input != "face":
        return
    if not params.faces.enabled:
        raise ValueError("input: face needs faces.enabled: true")
    if params.faces.frames == "middle" and params.video.window_frames > 1:
        raise ValueError(
            f"input: face with faces.frames: middle has one picture, video.window_frames is"
            f" {params.video.window_frames}: use faces.frames: every"
        )


def _check_task(params: Params) -> None:
    """Check the rules that the task declares (models/tasks/_base.py: Rule)."""
    for condition, required, advice in task(params.task)["rules"]:
        if all(_value(params, key) == value for key, value in condition.items()):
            where = {"task": params.task} | condition
            _check_values(params, required, ", ".join(f"{k}: {_yaml(v)}" for k, v in where.items()), advice)


def _check_joint_encoder(params: Params) -> None:
    """Check the keys that need an encoder of both modalities."""
    if not params.encoder:
        required = {
            "train.layer_decay": 1,
            "train.gradient_checkpointing": False,
            "classification.frozen": False,
        }
        _check_values(params, required, "encoder: null", "use encoder: cav_mae")


def _check_values(params: Params, required: dict[str, Any], where: str, advice: str) -> None:
    for key, value in required.items():
        if (actual := _value(params, key)) != value:
            raise ValueError(f"{key}: {_yaml(actual)} does not go with {where}: {advice}")


def _value(params: Params, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), params)


def _yaml(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _check_encoders(params: Params) -> None:
    for kind, encoders in params.encoders:
        check_name: Any = one_of(*component_names(kind), hubs=kind != "joint").func
        for name, keywords in encoders.items():
            try:
                check_name(name)
            except ValueError as e:
                raise ValueError(f"encoders.{kind}.{name}: {e}") from None
            check_keywords(f"encoders.{kind}.{name}", kind, name, keywords)


def _check_losses(params: Params) -> None:
    names = component_names("losses")
    if unknown := sorted(params.losses.keys() - set(names)):
        raise ValueError(f"losses.{unknown[0]}: unknown loss; known: {', '.join(names)}")
    for name in names:
        check_keywords(f"losses.{name}", "losses", name, params.losses[name])
