"""The sections `data`, `download` and `split`."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from pipeline.config.fields import Section, Seed, one_of, source_names

Emotion = Annotated[str, one_of("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")]
Patterns = Annotated[str, Field(min_length=1)]
CLASS_PRESETS = ("all", "five", "musical")  # names for sets of AudioSet's classes
VGGSOUND_TEST_SUBSETS = (
    "retrieval_1545",
    "vggsounder",
    "vggsounder_background_music",
    "vggss",
    "vggss_heard",
    "vggss_unheard",
)
VGGSOUND_TRAIN_SUBSETS = ("vggss_10k", "vggss_144k", "vggss_heard")


class EnsembleParams(Section):
    """The section `data.ensemble` of params.yaml: synthetic musical instruments."""

    clips: int = Field(ge=16, le=1_000_000, description="number of clips")
    test_clips: int = Field(
        ge=0, le=1_000_000, description="further clips, for the test; 0: some of the clips, by split.test"
    )
    seed: Seed = Field(description="of everything that is random in them")
    broken: float = Field(ge=0, le=0.5, description="share of clips that are damaged, as real files are")
    faults: float = Field(
        ge=0,
        le=0.9,
        description="share of clips that are poor, or copies, for the stage quality (docs/quality.md)",
    )
    negatives: int = Field(
        ge=0,
        le=1_000_000,
        description="further clips in which nothing in view sounds, to test localization (docs/tasks.md)",
    )


class CremaDParams(Section):
    """The section `data.crema_d` of params.yaml: which clips of the data set CREMA-D are used."""

    emotions: list[Emotion] = Field(min_length=1, description="only clips of these emotions")
    labels: Annotated[str, one_of("acted", "rated")] = Field(
        description="acted: the emotion that the actor was asked for; rated: what most raters saw and heard"
    )


def _check_classes(classes: str | list[str]) -> str | list[str]:
    """Return `data.audioset.classes` as it is. Raise ValueError if it is neither a preset nor a list."""
    if isinstance(classes, str) and classes not in CLASS_PRESETS:
        raise ValueError(f"use {', '.join(CLASS_PRESETS)}, or a list of AudioSet's names or ids")
    return classes


class AudioSetParams(Section):
    """The section `data.audioset` of params.yaml: which clips of the data set AudioSet are used."""

    train: list[str] = Field(description="lists of training segments: paths or URLs")
    eval: list[str] = Field(description="lists of test segments: paths or URLs")
    labels: str = Field(min_length=1, description="class_labels_indices.csv: path or URL")
    ontology: str = Field(min_length=1, description="ontology.json: path or URL")
    classes: Annotated[str | Annotated[list[str], Field(min_length=1)], AfterValidator(_check_classes)] = (
        Field(description="musical: 50 instruments and tools; five; all; or a list of names or ids")
    )
    descendants: bool = Field(description="true: a class's children in the ontology count as the class")
    per_class: int | None = Field(ge=1, description="clips of each class, at most; null: no limit")
    clips: int | None = Field(ge=1, description="clips in all, at most; null: no limit")
    seed: Seed = Field(description="of the choice where there are more clips than that")


class VGGSoundParams(Section):
    """The section `data.vggsound` of params.yaml: which clips of the data set VGGSound are used."""

    list: str = Field(min_length=1, description="vggsound.csv, or the list of test clips: path or URL")
    subset: Annotated[str, one_of(*VGGSOUND_TEST_SUBSETS)] | None = Field(
        description="the test split is this published subset of the test clips; null: all of them"
    )
    train_subset: Annotated[str, one_of(*VGGSOUND_TRAIN_SUBSETS)] | None = Field(
        description="training is on this published subset of the clips for training; null: all of them"
    )
    per_class: int | None = Field(ge=1, description="clips of each class and split, at most; null: no limit")
    clips: int | None = Field(ge=1, description="clips in all, at most; null: no limit")
    seed: Seed = Field(description="of the choice where there are more clips than that")


class AVEParams(Section):
    """The section `data.ave` of params.yaml: which lists of the data set AVE are read."""

    lists: str = Field(
        min_length=1, description="folder of Annotations.txt and the lists of its splits: path or URL"
    )
    audioset: list[str] = Field(
        description="AudioSet's lists of segments, which say where in a video the 10 s are: paths or URLs"
        " (media: youtube)"
    )
    whole: bool = Field(
        description="a clip is the whole video of 10 s, not its event alone (docs/protocols.md)"
    )


class MusicParams(Section):
    """The section `data.music` of params.yaml: which clips of the data set MUSIC are used."""

    lists: list[str] = Field(
        min_length=1, description="lists of videos of solos, duets or both: paths or URLs"
    )
    subset: Annotated[str, one_of("avgn_duet", "avgn_solo")] | None = Field(
        description="clips are the seconds of these published lists, with their split; null: parts of all"
        " videos"
    )
    per_video: int = Field(ge=1, le=1000, description="parts of each video, from its start (subset: null)")
    seconds: float = Field(gt=0, le=3600, description="length of a part (subset: null)")


class PeopleParams(Section):
    """The section `data.people` of params.yaml: synthetic talking heads."""

    people: int = Field(ge=2, le=1000, description="number of people")
    clips: int = Field(ge=16, le=72_000, description="number of clips of all people together")
    seed: Seed = Field(description="of everything that is random in them")


class VoxCelebParams(Section):
    """The section `data.voxceleb` of params.yaml: faces and voices of the data set VoxCeleb."""

    faces: str = Field(min_length=1, description="folder in data.folder: <person>/.../<recording>/*.jpg")
    voices: str = Field(min_length=1, description="folder in data.folder: <person>/<recording>/*.wav")
    per_person: int = Field(ge=1, description="clips of each person, at most")
    pair: Annotated[str, one_of("person", "video")] = Field(
        description="a face and a voice of the same person, or of the same video"
    )
    trials: str | None = Field(
        description="list of trials, path or URL, whose speakers are the test split (docs/protocols.md)"
    )


class DataParams(Section):
    """The section `data` of params.yaml: where clips come from, and what shards hold."""

    source: Annotated[str, one_of(*source_names())] = Field(
        description="ensemble, people: synthetic; folder: your videos; archive: tars and Parquet files;"
        " audioset, ave, crema_d, music, vggsound, voxceleb (docs/datasets.md)"
    )
    media: Annotated[str, one_of("archives", "folder", "youtube")] = Field(
        description="where ave, music and vggsound have their media. folder: a copy in data.folder;"
        " archives: data.archives; youtube: downloaded"
    )
    subset_lists: str = Field(
        min_length=1, description="folder of the published lists of subsets (docs/datasets.md)"
    )
    folder: str = Field(min_length=1, description="where the files are, unless clips are synthetic")
    pair: Annotated[str, one_of("none", "category")] = Field(
        description="folder: category joins files of sounds/<label> and pictures/<label> at random"
    )
    cut: Annotated[str, one_of("first", "all", "sample")] = Field(
        description="folder: clips of a long file: the first one, consecutive ones, or some at random"
    )
    per_file: int = Field(ge=1, le=100_000, description="folder: clips of a file, at most, evenly spread")
    seed: Seed = Field(description="folder: of pairs, and of cut: sample")
    archives: Patterns | Annotated[list[Patterns], Field(min_length=1)] | None = Field(
        description="tars and Parquet files: paths or URLs with * and {000..099}; null: those in data.folder"
    )
    labels: str | None = Field(
        min_length=1, description="CSV with labels of clips by their id; null: those of the source"
    )
    clip_seconds: float = Field(gt=0, le=3600, description="what a clip's features cover, from its start")
    shard_size: int = Field(ge=1, le=100_000, description="clips in one shard")
    ensemble: EnsembleParams = Field(description="synthetic musical instruments")
    audioset: AudioSetParams = Field(description="clips of YouTube that AudioSet lists")
    ave: AVEParams = Field(description="audio-visual events, which AVE lists")
    crema_d: CremaDParams = Field(description="actors who speak with an emotion")
    music: MusicParams = Field(description="videos of MUSIC: solos and duets of instruments")
    people: PeopleParams = Field(description="synthetic talking heads")
    vggsound: VGGSoundParams = Field(description="clips of YouTube that VGGSound lists")
    voxceleb: VoxCelebParams = Field(description="faces and voices of celebrities")


class DownloadParams(Section):
    """The section `download` of params.yaml: how clips of online videos are fetched."""

    url: str = Field(description="of a video; {id} stands for its YouTube id")
    height: int = Field(ge=64, le=4320, description="lines of the picture, at most")
    concurrent: int = Field(ge=1, le=256, description="downloads at a time")
    per_minute: float = Field(gt=0, description="downloads started in a minute, at most")
    rate_limit: int | None = Field(ge=1000, description="bytes per second of each download; null: no limit")
    cookies: str | None = Field(min_length=1, description="a cookies.txt, for videos that need an account")
    proxy: str | None = Field(min_length=1, description="URL of a proxy; null: none")
    stall: float = Field(gt=0, description="seconds without a byte, after which a download has failed")
    timeout: float = Field(gt=0, description="seconds that one clip may take")
    retries: int = Field(ge=0, le=20, description="further attempts after a temporary failure")
    wait: float = Field(ge=0, description="seconds before the first retry; doubled each time")
    max_missing: float = Field(
        ge=0,
        le=1,
        description="share of clips that may stay missing after temporary failures; above: an error",
    )
    give_up: int = Field(ge=1, description="stop after so many temporary failures in a row")

    @model_validator(mode="after")
    def _check_url(self) -> "DownloadParams":
        """Raise ValueError if `url` is not a web address with exactly one place for the id of a video."""
        if not self.url.startswith(("http://", "https://")) or self.url.count("{id}") != 1:
            raise ValueError(f"url: {self.url!r}: use a http or https address with {{id}} in it")
        return self


def check_folds(value: Any) -> int | str | None:
    """Return the value of split.folds. Raise ValueError if it is none."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 2
    if not (is_number or value in (None, "all")):
        raise ValueError("should be a number from 2, all, or null")
    return value


# One validator for all, so that a wrong value has one message, and not one for each type.
Folds = Annotated[
    int | str | None,
    PlainValidator(check_folds),
    WithJsonSchema({"anyOf": [{"minimum": 2, "type": "integer"}, {"const": "all"}, {"type": "null"}]}),
]


class SplitParams(Section):
    """The section `split` of params.yaml: which clips are for training, validation and the test."""

    by: Annotated[str, one_of("video", "subject")] = Field(
        description="clips of one video, or of one subject, are never in two splits"
    )
    own: bool = Field(description="true: keep a split that the source gives; false: ignore it")
    val: float = Field(gt=0, lt=1, description="share of clips for validation")
    test: float = Field(gt=0, lt=1, description="share of clips for the test")
    seed: Seed = Field(description="of the hash that decides; a clip's split does not depend on other clips")
    folds: Folds = Field(
        description="cross-validation: parts of the videos or subjects, one of which is the test split, in"
        " place of test and own; all: one part for each; null: none"
    )
    fold: int = Field(ge=0, description="folds: which part, from 0; python -m experiments folds takes each")

    @model_validator(mode="after")
    def _check_training_remains(self) -> "SplitParams":
        """Raise ValueError if no clips remain for training."""
        if self.val + self.test >= 1:
            raise ValueError(f"val {self.val:g} and test {self.test:g} leave nothing to train on")
        return self
