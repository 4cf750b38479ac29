"""All of params.yaml: keys outside sections, small sections, and checks across sections."""

import functools
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.config.audio import AudioParams
from pipeline.config.components import check_keywords, has_method, library_names, load_task
from pipeline.config.data import DataParams, DownloadParams, SplitParams
from pipeline.config.fields import (
    AudioEncoder,
    JointEncoder,
    Loss,
    Matcher,
    ProtocolName,
    Section,
    Seed,
    Task,
    VideoEncoder,
    component_names,
    one_of,
)
from pipeline.config.hub_files import PREFIX, read_sampling_rate
from pipeline.config.media import MediaParams
from pipeline.config.quality import QualityParams
from pipeline.config.towers import CACHED, TowersParams
from pipeline.config.train import AugmentParams, ClassificationParams, PretrainingParams, TrainParams
from pipeline.config.video import FacesParams, VideoParams

Keywords = dict[str, dict[str, Any]]  # name of a component -> values of its keywords, by their names


class EncodersParams(Section):
    """The section `encoders` of params.yaml: keywords of encoders that differ from their defaults."""

    audio: Keywords = Field(description="by names in models/audio")
    video: Keywords = Field(description="by names in models/video")
    joint: Keywords = Field(
        description="by names in models/joint; size of cav_mae: tiny, or base as published"
    )


def _check_template(text: str) -> str:
    """Return a template as it is. Raise ValueError if it has no place for a label."""
    if "{label}" not in text:
        raise ValueError(f"{text!r} has no {{label}}: write a photo of a {{label}}, for example")
    return text


Template = Annotated[str, AfterValidator(_check_template)]


class EvaluateParams(Section):
    """The section `evaluate` of params.yaml: how a model is evaluated."""

    frames: int = Field(
        ge=1, le=10_000, description="frame positions in a window; a classifier's answers are averaged"
    )
    bootstrap: int = Field(ge=100, le=100_000, description="resamples for each 95% interval")
    zero_shot: list[Template] = Field(
        description="templates such as a photo of a {label}, to classify by label names (docs/towers.md)"
    )
    protocols: list[ProtocolName] = Field(
        description="published protocols, such as vggsound_retrieval (docs/protocols.md)"
    )
    windows: int = Field(ge=1, le=100, description="windows of a clip in protocols that compare several")
    similarity: Annotated[str, one_of("diagonal_mean", "diagonal_max", "mean", "max")] = Field(
        description="how protocols of retrieval combine windows; diagonal_mean: as published"
    )
    allow_overlap: list[ProtocolName] = Field(
        description="protocols whose test clips may be learnt from; others stop the training"
    )


class IndexParams(Section):
    """The section `index` of params.yaml: the search index over all embeddings."""

    kind: Annotated[str, one_of("auto", "flat", "hnsw", "ivf_pq")] = Field(
        description="flat (exact), hnsw (fast), ivf_pq (small); auto: by the number of clips"
    )


class EngineParams(Section):
    """The section `engine` of params.yaml: where and how fast data stages run."""

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
    """All of params.yaml: keys outside sections, and the sections."""

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
        description="a file in models/audio, or timm/<name>, torchvision/<name>, hf/<id or path>"
    )
    video_encoder: VideoEncoder = Field(
        description="a file in models/video, or timm/<name>, torchvision/<name>, hf/<id or path>"
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
        description="how clips of YouTube are fetched; only url and height change the clips"
    )
    media: MediaParams = Field(description="how files are decoded")
    audio: AudioParams = Field(description="sound and its features, in librosa's words")
    video: VideoParams = Field(description="frames of the picture")
    faces: FacesParams = Field(description="faces that are cut out of frames")
    towers: TowersParams = Field(
        description="frozen networks, whose outputs the stages audio_towers and video_towers store for the "
        "encoder cached (docs/towers.md)"
    )
    quality: QualityParams = Field(description="what is wrong with clips (docs/quality.md)")
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
    def _fill_in_task_defaults(cls, values: Any) -> Any:
        """Replace the value null of a key by the default that the task declares for it, if there is one.

        values: the content of the file, before any check.
        """
        if not isinstance(values, dict) or values.get("task") not in component_names("tasks"):
            return values
        defaults = load_task(values["task"])["defaults"]
        null_keys = {key for key in defaults if key in values and values[key] is None}
        return values | {key: defaults[key] for key in null_keys}

    @field_validator("losses", mode="after")
    @classmethod
    def _add_other_losses(cls, losses: Keywords) -> Keywords:
        """Add the losses that are not in the file, without keywords: the defaults of their classes hold."""
        return {name: {} for name in component_names("losses") if name not in losses} | losses

    @model_validator(mode="after")
    def _check_sections_fit_together(self) -> "Params":
        """Raise ValueError if values of several sections contradict each other."""
        _check_windows(self)
        _check_faces(self)
        _check_task(self)
        _check_joint_encoder(self)
        _check_encoders(self)
        _check_sound(self)
        _check_towers(self)
        _check_losses(self)
        return self

    def override(self, settings: dict[str, Any]) -> "Params":
        """Return a copy with new values of some keys. Raises ValueError if a key or a value is not allowed.

        settings: the new values by their keys, with all sections: {"train.epochs": 20}.
        """
        values = self.model_dump()
        for key, value in settings.items():
            *section_names, name = key.split(".")
            section = values
            for section_name in section_names:
                section = section.setdefault(section_name, {})
                if not isinstance(section, dict):
                    raise ValueError(f"{key}: {section_name} has no keys")
            section[name] = value
        return Params.model_validate(values)


def _check_windows(params: Params) -> None:
    """Raise ValueError if a window is longer than a clip."""
    if params.audio.window_seconds > params.data.clip_seconds:
        raise ValueError(
            f"audio.window_seconds {params.audio.window_seconds:g} is longer than "
            f"data.clip_seconds {params.data.clip_seconds:g}"
        )


def _check_faces(params: Params) -> None:
    """Raise ValueError if models shall see faces that the stage faces does not cut out."""
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
    """Raise ValueError if values break a rule that the task declares.

    A rule (`Rule` of models/tasks/_base.py) requires values of some keys if other keys have certain values.
    """
    for condition, required, advice in load_task(params.task)["rules"]:
        if all(_get_value(params, key) == value for key, value in condition.items()):
            reasons = {"task": params.task} | condition
            reason = ", ".join(f"{key}: {_format_yaml(value)}" for key, value in reasons.items())
            _check_values(params, required, reason, advice)


def _check_joint_encoder(params: Params) -> None:
    """Raise ValueError if keys are set that only `encoder: cav_mae` uses, or encoders of libraries."""
    if params.encoder:
        return
    _check_values(params, {"classification.frozen": False}, "encoder: null", "use encoder: cav_mae")
    encoders = {"audio": params.audio_encoder, "video": params.video_encoder}
    names = " and ".join(f"{folder}_encoder: {name}" for folder, name in encoders.items())
    advice = "use encoder: cav_mae, or an encoder of a library, such as timm/<name>"
    for key, value, method in (
        ("train.layer_decay", 1, "layer_groups"),
        ("train.gradient_checkpointing", False, "set_gradient_checkpointing"),
    ):
        if not any(has_method(folder, name, method) for folder, name in encoders.items()):
            _check_values(params, {key: value}, names, advice)


def _check_values(params: Params, required: dict[str, Any], reason: str, advice: str) -> None:
    """Raise ValueError if a key has another value than the one required.

    required: values by their keys (`train.epochs`). reason: the keys and values that require them. advice:
    what the user can do.
    """
    for key, required_value in required.items():
        value = _get_value(params, key)
        if value != required_value:
            raise ValueError(f"{key}: {_format_yaml(value)} does not go with {reason}: {advice}")


def _get_value(params: Params, key: str) -> Any:
    """Return the value of a key with its sections, such as `train.epochs`."""
    return functools.reduce(getattr, key.split("."), params)


def _format_yaml(value: Any) -> str:
    """Return a plain value as params.yaml writes it: null and not None, true and not True."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _check_encoders(params: Params) -> None:
    """Raise ValueError if a name or a keyword under `encoders` is not allowed."""
    for folder, keywords_by_name in params.encoders:  # folder below models/: audio, video, joint
        check_name: Any = one_of(*component_names(folder), *library_names(folder)).func
        for name, keywords in keywords_by_name.items():
            library, slash, _ = name.partition("/")
            if slash and library in library_names(folder):
                raise ValueError(
                    f"encoders.{folder}.{name}: keywords are for all networks of a library: name the key"
                    f" encoders.{folder}.{library}"
                )
            try:
                check_name(name)
            except ValueError as e:
                raise ValueError(f"encoders.{folder}.{name}: {e}") from None
            check_keywords(f"encoders.{folder}.{name}", folder, name, keywords)


def _check_sound(params: Params) -> None:
    """Raise ValueError if a network of Hugging Face shall hear other sound than it can.

    The sample rate is checked only if the network's files are on this machine.
    """
    names = {f"towers.audio: {name}": name for name in params.towers.audio}
    if not params.encoder and params.modality != "video":
        names[f"audio_encoder: {params.audio_encoder}"] = params.audio_encoder
    for where, name in names.items():
        if not name.startswith(PREFIX):
            continue
        rate = read_sampling_rate(name)
        if params.audio.feature != "waveform" or rate not in (None, params.audio.sample_rate):
            advice = rate or "as its preprocessor_config.json says"
            raise ValueError(
                f"{where} hears samples: set audio.feature: waveform and audio.sample_rate: {advice}"
            )


def _check_towers(params: Params) -> None:
    """Raise ValueError if an encoder reads features of towers, and there are none or they do not fit."""
    for side, encoder in (("audio", params.audio_encoder), ("video", params.video_encoder)):
        if encoder == CACHED and not params.encoder and not getattr(params.towers, side):
            raise ValueError(
                f"{side}_encoder: cached needs towers.{side}: name networks, such as timm/resnet18"
            )
    segment = params.towers.segment_seconds
    if segment and segment > params.audio.window_seconds:
        raise ValueError(
            f"towers.segment_seconds {segment:g} is longer than"
            f" audio.window_seconds {params.audio.window_seconds:g}"
        )


def _check_losses(params: Params) -> None:
    """Raise ValueError if a name or a keyword under `losses` is not allowed."""
    names = component_names("losses")
    if unknown := sorted(params.losses.keys() - set(names)):
        raise ValueError(f"losses.{unknown[0]}: unknown loss; known: {', '.join(names)}")
    for name in names:
        check_keywords(f"losses.{name}", "losses", name, params.losses[name])
