"""The one reader of params.yaml: typed, and shown to each stage only as far as dvc.yaml says.

Whatever is wrong is told before any work starts: the key, the value, and what is allowed.
"""

import ast
import difflib
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from pipeline.errors import UserError
from pipeline.sources import SOURCES

ROOT = Path(__file__).resolve().parent.parent
HUB = "^(timm|torchvision)/."  # a model that another library has, by its name there


def registered(kind: str) -> tuple[str, ...]:
    """The names in models/<kind>: a module each, so that none must be imported to know them."""
    return tuple(sorted(p.stem for p in (ROOT / "models" / kind).glob("*.py") if not p.stem.startswith("_")))


@dataclass(frozen=True)
class OneOf(AfterValidator):
    """The check of `one_of`, which also tells a JSON schema the names (pipeline/schema.py)."""

    names: tuple[str, ...] = ()
    hubs: bool = False

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        names = {"enum": list(self.names)}
        return {"anyOf": [names, {"type": "string", "pattern": HUB}]} if self.hubs else names


def one_of(*names: str, hubs: bool = False) -> OneOf:
    """A check that a value is one of `names`, or with `hubs` a model that timm or torchvision has."""

    def check(value: str) -> str:
        hub = value.partition("/")[0] if hubs else ""
        known = _models_of(hub) if hub in ("timm", "torchvision") and "/" in value else names
        if value not in known:
            near = difflib.get_close_matches(value, known, n=3 if hub else 1)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            others = ", timm/<name>, torchvision/<name>" if hubs else ""
            raise ValueError(f"unknown name; {hint}allowed: {', '.join(names)}{others}")
        return value

    return OneOf(check, names, hubs)


def _models_of(hub: str) -> list[str]:
    """What timm or torchvision has, as `timm/resnet18`. Imported only where somebody asks for one."""
    if hub == "timm":
        import timm

        return [f"timm/{name}" for name in timm.list_models()]
    import torchvision

    return [f"torchvision/{name}" for name in torchvision.models.list_models(torchvision.models)]


# What a keyword of an encoder or a loss may be annotated with.
TYPES: dict[str, Any] = {
    "bool": bool,
    "int": Annotated[int, Field(ge=0)],
    "bool | str": bool | str,
    "float": float,
    "str": str,
    "NonNegativeFloat": pydantic.NonNegativeFloat,
    "PositiveFloat": pydantic.PositiveFloat,
    "PositiveInt": pydantic.PositiveInt,
    "Sequence[PositiveInt]": list[pydantic.PositiveInt],
    "Sequence[float]": Annotated[list[float], Field(min_length=2, max_length=2)],
    "Literal['tiny', 'base']": Literal["tiny", "base"],
}


def keywords(kind: str, name: str) -> dict[str, tuple[Any, bool]]:
    """What the class in models/<kind>/<name>.py takes by keyword: name -> (type, must it be given).

    Read from the source, so that a stage that trains nothing need not import torch to check a name.
    """
    file = "_hub" if "/" in name else name
    tree = ast.parse((ROOT / "models" / kind / f"{file}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.decorator_list:
            for f in node.body:
                if isinstance(f, ast.FunctionDef) and f.name == "__init__":
                    given = zip(f.args.kwonlyargs, f.args.kw_defaults, strict=True)
                    return {
                        a.arg: (TYPES[ast.unparse(a.annotation or ast.Name("none"))], default is None)
                        for a, default in given
                        if a.arg != "name"
                    }
    return {}


def check_keywords(where: str, kind: str, name: str, values: dict[str, Any]) -> None:
    """Raise ValueError where `values` are not what the class takes by keyword."""
    known = keywords(kind, name)
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(
                f"{where}.{key}: unknown key for {name}; {hint}known: {', '.join(known) or 'none'}"
            )
        try:
            pydantic.TypeAdapter(known[key][0]).validate_python(value, strict=True)
        except ValidationError as e:
            raise ValueError(f"{where}.{key}: {value!r}: {e.errors()[0]['msg'].lower()}") from None
    for key, (_, needed) in known.items():
        if needed and key not in values:
            raise ValueError(f"{where}.{key}: missing: {name} needs it")


AudioEncoder = Annotated[str, one_of(*registered("audio"), hubs=True)]
VideoEncoder = Annotated[str, one_of(*registered("video"), hubs=True)]
JointEncoder = Annotated[str, one_of(*registered("joint"))]
Loss = Annotated[str, one_of(*registered("losses"))]
Matcher = Annotated[str, one_of(*registered("matchers"))]
Task = Annotated[str, one_of(*registered("tasks"))]


def _rising(value: list[float]) -> list[float]:
    if value[0] > value[1]:
        raise ValueError(f"the first, {value[0]:g}, is larger than the second, {value[1]:g}")
    return value


Factor = Annotated[float, Field(ge=0, le=10)]
Range = Annotated[list[Factor], Field(min_length=2, max_length=2), AfterValidator(_rising)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class EnsembleParams(Section):
    """The embedded data: how many clips, and the share of them that is broken as files in the wild are."""

    clips: int = Field(ge=16, le=1_000_000)
    seed: int = Field(ge=0, lt=2**32)
    broken: float = Field(ge=0, le=0.5)


class CremaDParams(Section):
    """Which clips of CREMA-D, and whether a label is what was acted or what most raters saw and heard."""

    emotions: list[Annotated[str, one_of("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")]] = Field(min_length=1)
    labels: Annotated[str, one_of("acted", "rated")]


PRESETS = ("all", "five", "musical")


def _classes(value: str | list[str]) -> str | list[str]:
    if isinstance(value, str) and value not in PRESETS:
        raise ValueError(f"use {', '.join(PRESETS)}, or a list of AudioSet's names or ids")
    return value


class AudioSetParams(Section):
    """Which of AudioSet's published lists, and which of their clips."""

    train: list[str]  # segments: paths or URLs
    eval: list[str]
    labels: str = Field(min_length=1)  # class_labels_indices.csv
    ontology: str = Field(min_length=1)  # ontology.json
    classes: Annotated[str | Annotated[list[str], Field(min_length=1)], AfterValidator(_classes)]
    descendants: bool
    per_class: int | None = Field(ge=1)
    clips: int | None = Field(ge=1)
    seed: int = Field(ge=0, lt=2**32)


class PeopleParams(Section):
    """The embedded talking heads: how many people, and how many clips of all of them."""

    people: int = Field(ge=2, le=1000)
    clips: int = Field(ge=16, le=72_000)
    seed: int = Field(ge=0, lt=2**32)


class VoxCelebParams(Section):
    """Where faces and voices are, under data.folder, and how many clips of each person there are at most."""

    faces: str = Field(min_length=1)
    voices: str = Field(min_length=1)
    per_person: int = Field(ge=1)
    pair: Annotated[
        str, one_of("person", "video")
    ]  # video: a face and a voice of one recording, and no others


class DataParams(Section):
    source: Annotated[str, one_of(*SOURCES)]
    folder: str = Field(min_length=1)
    clip_seconds: float = Field(gt=0, le=3600)  # what a clip's features cover, from its start
    shard_size: int = Field(ge=1, le=100_000)
    ensemble: EnsembleParams
    audioset: AudioSetParams
    crema_d: CremaDParams
    people: PeopleParams
    voxceleb: VoxCelebParams


class DownloadParams(Section):
    """How clips are fetched. Only url and height change what comes."""

    url: str
    height: int = Field(ge=64, le=4320)
    concurrent: int = Field(ge=1, le=256)
    per_minute: float = Field(gt=0)
    rate_limit: int | None = Field(ge=1000)  # bytes a second, of each
    cookies: str | None = Field(min_length=1)
    proxy: str | None = Field(min_length=1)
    stall: float = Field(gt=0)
    timeout: float = Field(gt=0)
    retries: int = Field(ge=0, le=20)
    wait: float = Field(ge=0)
    max_missing: float = Field(ge=0, le=1)
    give_up: int = Field(ge=1)

    @model_validator(mode="after")
    def _fits(self) -> "DownloadParams":
        if not self.url.startswith(("http://", "https://")) or self.url.count("{id}") != 1:
            raise ValueError(f"url: {self.url!r}: use a http or https address with {{id}} in it")
        return self


class AudioParams(Section):
    """Sound and its features, in librosa's words."""

    sample_rate: int = Field(ge=4000, le=192_000)
    feature: Annotated[str, one_of("mel", "stft", "log_spectrogram", "log_frequency", "fbank")]
    n_fft: int = Field(ge=16, le=65_536)
    win_length: int = Field(ge=16)
    hop_length: int = Field(ge=1)
    n_mels: int = Field(ge=1, le=1024)
    fmin: float = Field(ge=0)
    fmax: float | None = Field(gt=0)  # null: half the sample rate
    dtype: Annotated[str, one_of("float16", "uint8")]  # as features are stored
    window_seconds: float = Field(gt=0)  # what a model hears at once

    @model_validator(mode="after")
    def _fits(self) -> "AudioParams":
        nyquist = self.sample_rate / 2
        if self.hop_length > self.win_length:
            raise ValueError(f"hop_length {self.hop_length} is larger than win_length {self.win_length}")
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is larger than n_fft {self.n_fft}")
        if (self.fmax or 0) > nyquist:
            raise ValueError(f"fmax {self.fmax:g} is above half of sample_rate {self.sample_rate}")
        if self.fmin >= (self.fmax or nyquist):
            raise ValueError(f"fmin {self.fmin:g} is not below fmax {self.fmax or nyquist:g}")
        if self.dtype == "uint8" and self.feature == "stft":
            raise ValueError("dtype uint8 holds logarithms, and stft is none: use float16")
        return self


class VideoParams(Section):
    frames: int = Field(ge=1, le=10_000)  # stored for each clip, evenly spaced; 1 is the middle frame
    height: int = Field(ge=16, le=4320)
    width: int = Field(ge=16, le=7680)
    window_frames: int = Field(ge=1)  # what a model sees at once: the frames nearest the window's middle
    training_frame: Annotated[str, one_of("middle", "random")]  # or nearest a random place in it

    @model_validator(mode="after")
    def _fits(self) -> "VideoParams":
        if self.window_frames > self.frames:
            raise ValueError(f"window_frames {self.window_frames} is more than frames {self.frames}")
        return self


class FacesParams(Section):
    """Faces cut out of frames."""

    enabled: bool
    model: str | None = Field(min_length=1)  # YuNet's file; null: OpenCV's Haar cascade
    frames: Annotated[str, one_of("middle", "every")]
    size: int = Field(ge=16, le=4320)
    margin: float = Field(ge=0, le=2)  # on each side, in parts of the box
    align: bool  # turned until the eyes are level


class SplitParams(Section):
    by: Annotated[str, one_of("video", "subject")]
    own: bool  # a split that the source gives is kept
    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0, lt=2**32)

    @model_validator(mode="after")
    def _fits(self) -> "SplitParams":
        if self.val + self.test >= 1:
            raise ValueError(f"val {self.val:g} and test {self.test:g} leave nothing to train on")
        return self


class AugmentParams(Section):
    """What training changes in a window; nothing else does."""

    crop: float = Field(gt=0, le=1)  # a crop's sides are at least this part of the picture's
    flip: bool
    brightness: Range
    saturation: Range
    loudness: float = Field(ge=0, le=60)  # dB, up or down
    mask_freq: float = Field(ge=0, lt=1)  # SpecAugment: a mask covers up to this part of the frequencies
    mask_time: float = Field(ge=0, lt=1)  # and of the time
    noise: float = Field(ge=0, le=60)  # dB, at most, that each value is raised by
    roll: bool  # the window begins anywhere, and goes on from its own beginning


class EncodersParams(Section):
    """Sizes other than the encoders' own, by name: keywords of a class in models/audio, video or joint."""

    audio: dict[str, dict[str, Any]]
    video: dict[str, dict[str, Any]]
    joint: dict[str, dict[str, Any]]


class ClassificationParams(Section):
    """What `task: classification` does beside the encoders."""

    fusion: Annotated[str, one_of("concat", "stack")]
    multilabel: bool
    class_weights: bool
    label_smoothing: float = Field(ge=0, lt=1)
    mixup: float = Field(ge=0, le=100)
    mixup_rate: float = Field(ge=0, le=1)  # share of clips that are mixed
    dropout: float = Field(ge=0, lt=1)
    labels: float = Field(gt=0, le=1)  # share of the training clips whose labels are used
    start: str = Field(
        min_length=1
    )  # of encoder: cav_mae: pretrain (the stage), scratch, or a model's folder
    frozen: bool  # the encoder stays as it began: linear probing


class LearningParams(Section):
    """How a model is trained. One epoch takes one window of every training clip."""

    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=2, le=65_536)  # of each device
    accumulate: int = Field(ge=1, le=65_536)  # batches whose gradients make one step
    learning_rate: float = Field(gt=0)  # at its highest
    weight_decay: float = Field(ge=0)
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]  # Adam's
    warm_up: float = Field(ge=0, lt=1)  # part of all steps over which the learning rate rises
    schedule: Annotated[str, one_of("cosine", "step")]
    step_start: int = Field(ge=1)  # schedule: step: after so many epochs times step_factor,
    step_every: int = Field(ge=1)  # and again after each so many
    step_factor: float = Field(gt=0, le=1)
    layer_decay: float = Field(gt=0, le=1)  # the learning rate of each layer below, times; encoder: cav_mae
    average: Annotated[list[int], Field(min_length=2, max_length=2), AfterValidator(_rising)] | None
    checkpointing: bool  # activations are computed again in the backward pass; encoder: cav_mae
    precision: Annotated[str, one_of("auto", "bf16-mixed", "16-mixed", "32-true")]
    devices: int = Field(ge=1, le=1024)  # GPUs, or processes where there is none
    loader_workers: int = Field(ge=0, le=1024)  # processes that read batches; 0: the training process itself

    @model_validator(mode="after")
    def _fits(self) -> "LearningParams":
        if self.average and not 1 <= self.average[0] <= self.average[1] <= self.epochs:
            raise ValueError(f"average: {self.average}: first and last epoch, from 1 to {self.epochs}")
        return self


class TrainParams(LearningParams):
    """Of the stage train."""

    head_factor: float = Field(gt=0)  # a classifier's last layers learn so many times as fast
    embedding_dim: int = Field(ge=1, le=8192)
    balanced: bool  # each label as often as any other


class PretrainingParams(Section):
    """The stage pretrain: what CAV-MAE learns before any label, and how."""

    mask_ratio: float = Field(gt=0, lt=1)
    mask: Annotated[str, one_of("random", "time", "frequency", "both")]  # of the sound's patches
    reconstruction: float = Field(ge=0)  # the loss's weights
    contrastive: float = Field(ge=0)
    normalize_patches: bool
    temperature: float = Field(ge=0.01)  # models/losses/infonce.py: COLDEST
    both_ways: bool  # also pictures for each sound
    train: LearningParams
    augment: AugmentParams

    @model_validator(mode="after")
    def _fits(self) -> "PretrainingParams":
        if not self.reconstruction + self.contrastive:
            raise ValueError("reconstruction and contrastive are both 0: nothing is left to learn")
        return self


class EvaluateParams(Section):
    frames: int = Field(ge=1, le=10_000)  # places in a window at which a classifier looks; the mean counts
    bootstrap: int = Field(ge=100, le=100_000)  # resamples behind each 95% interval


class IndexParams(Section):
    kind: Annotated[str, one_of("auto", "flat", "hnsw", "ivf_pq")]


class EngineParams(Section):
    """Where the data stages run, and what `evaluate` and `index` embed. It changes nothing that comes out."""

    name: Literal["local", "ray"]
    address: str | None  # of a Ray cluster: host:port, auto; null: one of this machine, for the run
    workers: int | None = Field(ge=1, le=1024)  # null: one for each core
    timeout: float = Field(gt=0)  # seconds that one clip may take
    storage: str | None  # a folder or an address that fsspec knows; null: data/<stage>


# What a table's experiments may have otherwise than the default one: nothing that data are made from.
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


def _settable(values: dict[str, Any]) -> dict[str, Any]:
    for key in values:
        if not any(key == name or key.startswith(f"{name}.") for name in SETTABLE):
            raise ValueError(
                f"{key}: cannot be set here; what can: {', '.join(SETTABLE)} and what is under them"
            )
    return values


Settings = Annotated[
    dict[str, Any], AfterValidator(_settable)
]  # keys of params.yaml, as `dvc exp run -S` has them


class GridParams(Section):
    """Each of these encoders with each under each loss; the best `leaders` once more with each of `seeds`."""

    audio_encoder: list[AudioEncoder] = Field(min_length=1)
    video_encoder: list[VideoEncoder] = Field(min_length=1)
    loss: list[Loss] = Field(min_length=1)
    set: Settings
    leaders: int = Field(ge=0)
    seeds: list[int]


class RetrievalParams(Section):
    """The retrieval table of Objects that Sound: what is trained, with each of `seeds`."""

    set: Settings
    seeds: list[int] = Field(min_length=1)


class TableSet(Section):
    """What is otherwise than above for a table of docs/ on data of its own."""

    set: dict[str, Any]


class TableParams(TableSet):
    seeds: list[int] = Field(min_length=1)


class CavMaeParams(TableParams):
    """Of docs/pretraining.md; probe: what is otherwise for linear probing."""

    labels: float = Field(gt=0, le=1)  # share of the training clips whose labels are used
    probe: Settings


class SharedEncoderParams(TableParams):
    networks: list[VideoEncoder] = Field(min_length=1)
    pretrained: str | None = Field(min_length=1)  # weights of the networks, a file


@dataclass(frozen=True)
class Rule:
    """Where all keys of `given` have these values, those of `needed` must have these; why: what to do."""

    given: dict[str, Any]
    needed: dict[str, Any]
    why: str

    def check(self, params: "Params") -> None:
        """Raise ValueError where the rule does not hold."""
        if any(_value(params, key) != value for key, value in self.given.items()):
            return
        for key, value in self.needed.items():
            if (found := _value(params, key)) != value:
                where = ", ".join(f"{name}: {_yaml(given)}" for name, given in self.given.items())
                raise ValueError(f"{key}: {_yaml(found)} does not go with {where}: {self.why}")


def _value(params: "Params", key: str) -> Any:
    value: Any = params
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _yaml(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# What goes with a task. Data, since data stages check it too, and import nothing that learns. A task that is
# not here checks by itself, before it trains (models/tasks/_base.py).
CLIPS = {"task": "matching", "pairing": "clip"}
ALONE = "use encoder: cav_mae"
RULES = (
    Rule({"task": "pretraining"}, {"modality": "both"}, "use modality: both"),
    Rule({"task": "matching"}, {"encoder": None}, "use task: pretraining or classification"),
    Rule(CLIPS, {"modality": "both"}, "what matches a clip is the clip itself: use pairing: category"),
    Rule(CLIPS, {"train.balanced": False}, "clips have no labels there: use pairing: category"),
    Rule(
        {"task": "classification", "classification.fusion": "stack"},
        {"encoder": None},
        "use classification.fusion: concat",
    ),
    Rule({"encoder": None}, {"train.layer_decay": 1.0}, ALONE),
    Rule({"encoder": None}, {"train.checkpointing": False}, ALONE),
    Rule({"encoder": None}, {"classification.frozen": False}, ALONE),
)
# What a task takes where the file says null.
DEFAULTS = {"pretraining": {"encoder": "cav_mae"}}


class Params(Section):
    task: Task
    modality: Annotated[str, one_of("audio", "video", "both")]
    encoder: JointEncoder | None  # one for both modalities; null: audio_encoder and video_encoder
    audio_encoder: AudioEncoder
    video_encoder: VideoEncoder
    loss: Loss
    matcher: Matcher
    pairing: Annotated[str, one_of("clip", "category")]
    input: Annotated[str, one_of("frame", "face")]
    label: str = Field(min_length=1)  # category, or a column of the clip table, known when that is there
    seed: int = Field(ge=0, lt=2**32)
    data: DataParams
    download: DownloadParams
    audio: AudioParams
    video: VideoParams
    faces: FacesParams
    split: SplitParams
    train: TrainParams
    pretraining: PretrainingParams
    classification: ClassificationParams
    augment: AugmentParams
    encoders: EncodersParams
    losses: dict[str, dict[str, float]]
    evaluate: EvaluateParams
    index: IndexParams
    engine: EngineParams
    grid: GridParams
    retrieval: RetrievalParams
    cav_mae: CavMaeParams
    people_tables: TableSet
    shared_encoder: SharedEncoderParams
    identification: TableParams

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        defaults = DEFAULTS.get(str(values.get("task")), {})
        return values | {k: v for k, v in defaults.items() if k in values and values[k] is None}

    @field_validator("losses", mode="after")
    @classmethod
    def _all_losses(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        """A loss that does not stand there has the constants that its class gives it."""
        return {name: {} for name in registered("losses") if name not in value} | value

    @model_validator(mode="after")
    def _fits(self) -> "Params":
        if self.audio.window_seconds > self.data.clip_seconds:
            raise ValueError(
                f"audio.window_seconds {self.audio.window_seconds:g} is longer than "
                f"data.clip_seconds {self.data.clip_seconds:g}"
            )
        if self.input == "face":
            if not self.faces.enabled:
                raise ValueError("input: face needs faces.enabled: true")
            if self.faces.frames == "middle" and self.video.window_frames > 1:
                raise ValueError(
                    f"input: face with faces.frames: middle has one picture, video.window_frames is"
                    f" {self.video.window_frames}: use faces.frames: every"
                )
        for rule in RULES:
            rule.check(self)
        if self.classification.frozen and self.classification.start == "scratch":
            raise ValueError("classification.frozen: true with start: scratch would learn from noise")
        for kind, own in self.encoders:
            for name, sizes in own.items():
                try:
                    check: Any = one_of(*registered(kind), hubs=kind != "joint").func
                    check(name)
                except ValueError as e:
                    raise ValueError(f"encoders.{kind}.{name}: {e}") from None
                check_keywords(f"encoders.{kind}.{name}", kind, name, sizes)
        names = registered("losses")
        if unknown := sorted(self.losses.keys() - set(names)):
            raise ValueError(f"losses.{unknown[0]}: unknown loss; known: {', '.join(names)}")
        for name in names:
            check_keywords(f"losses.{name}", "losses", name, self.losses[name])
        return self

    def changed(self, settings: dict[str, Any]) -> "Params":
        """These parameters, but for `settings`: {"train.epochs": 20}. Raises ValueError."""
        values = self.model_dump()
        for key, value in settings.items():
            *sections, last = key.split(".")
            place = values
            for section in sections:
                place = place.setdefault(section, {})
                if not isinstance(place, dict):
                    raise ValueError(f"{key}: {section} has nothing under it")
            place[last] = value
        return Params.model_validate(values)


class Yaml(yaml.SafeLoader):
    """YAML whose numbers may be 1e-05, as DVC writes them; PyYAML follows YAML 1.1, which wants 1.0e-05.

    Not by the C parser, as dvc.yaml is read: it crashes on lists in lists without end.
    """


Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read(path: str | Path = "params.yaml") -> Params:
    """All parameters, checked. Raises UserError with one line for each thing that is wrong."""
    try:
        with open(path, encoding="utf-8") as f:
            values = yaml.load(f, Yaml)
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}): run from the project's root") from None
    except RecursionError:
        raise UserError(f"{path}: not YAML of parameters: lists in lists without end") from None
    except (yaml.YAMLError, ValueError) as e:  # ValueError: no UTF-8, a date that is none, an endless number
        raise UserError(f"{path}: not YAML: {' '.join(str(e).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: should be a mapping of keys to values")
    try:
        return Params.model_validate(values)
    except ValidationError as e:
        raise UserError("\n".join(f"{path}: {line}" for line in _explain(e))) from None


def _explain(error: ValidationError) -> Iterator[str]:
    for e in error.errors():
        key = ".".join(str(part) for part in e["loc"])
        if e["type"] == "extra_forbidden":
            *parents, last = e["loc"]
            model: Any = Params
            for parent in parents:
                model = model.model_fields[parent].annotation
            near = difflib.get_close_matches(str(last), model.model_fields, n=1)
            yield (
                f"{key}: unknown key; "
                + (f"did you mean {near[0]}? " if near else "")
                + f"known: {', '.join(model.model_fields)}"
            )
        elif e["type"] == "missing":
            yield f"{key}: missing: every key must stand in the file"
        else:
            message = e["msg"].removeprefix("Value error, ")
            value = f"{_shown(e['input'])}: " if not isinstance(e["input"], dict) else ""
            yield f"{key + ': ' if key else ''}{value}{message[0].lower()}{message[1:]}"


def _shown(value: Any) -> str:
    """`value` as Python writes it, cut short: a few lines of YAML with aliases make gigabytes."""
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxlist, brief.maxtuple, brief.maxdict, brief.maxset = 3, 6, 6, 6, 6
    brief.maxstring = brief.maxlong = brief.maxother = 200
    try:
        return brief.repr(value)
    except ValueError:  # a number of more digits than Python writes
        return f"a {type(value).__name__} that is too long"


class View:
    """Parameters as far as one stage may read them.

    dvc.yaml lists each stage's keys, so that DVC knows what makes it stale; a key that is read without being
    listed there would make results that DVC takes for up to date. Reading one is a defect: KeyError.
    """

    __slots__ = ("_keys", "_path", "_stage", "_value")

    def __init__(self, value: BaseModel, stage: str, keys: tuple[str, ...], path: str = "") -> None:
        self._value, self._stage, self._keys, self._path = value, stage, keys, path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._value, name)
        key = f"{self._path}.{name}".lstrip(".")
        if any(key == k or key.startswith(f"{k}.") for k in self._keys):
            return value
        if isinstance(value, BaseModel) and any(k.startswith(f"{key}.") for k in self._keys):
            return View(value, self._stage, self._keys, key)
        raise KeyError(f"stage {self._stage} reads {key}, which dvc.yaml does not list for it")

    def listed(self) -> dict[str, Any]:
        """Every listed key with its value, as plain data."""
        plain: dict[str, Any] = {}
        for key in self._keys:
            value: Any = self._value
            for part in key.split("."):
                value = getattr(value, part)
            plain[key] = value.model_dump() if isinstance(value, BaseModel) else value
        return plain


def load(stage: str, path: str | Path = "params.yaml", root: Path = ROOT, table: str = "") -> Any:
    """The parameters as `stage` may read them (typed as Any: it stands for a Params).

    table: the section (grid, retrieval) whose `set` changes them. What is wrong there is told here: it may be
    wrong only beside what stands elsewhere, which matters to nobody who asks for no table.
    """
    keys = tuple(key.partition(".${")[0] for key in stage_entry(stage, root).get("params", []))
    params = read(path)
    if table:
        settings = getattr(View(params, stage, keys), table).set
        params = applied(params, settings, f"{path}: {table}.set")
    return View(params, stage, keys)


def applied(params: Params, settings: dict[str, Any], where: str) -> Params:
    """`params`, but for `settings`. Raises UserError with a line for each thing that is wrong `where`."""
    try:
        return params.changed(settings)
    except ValidationError as e:
        raise UserError("\n".join(f"{where}: {line}" for line in _explain(e))) from None
    except ValueError as e:
        raise UserError(f"{where}: {e}") from None


def stage_entry(stage: str, root: Path = ROOT) -> dict:
    """What dvc.yaml (or grid/dvc.yaml) says of a stage, as written (templates not filled in)."""
    for name in ("dvc.yaml", "grid/dvc.yaml"):
        with open(root / name, encoding="utf-8") as f:
            stages = yaml.load(f, yaml.CSafeLoader)["stages"]
        if stage in stages:
            return stages[stage]
    raise KeyError(stage)
