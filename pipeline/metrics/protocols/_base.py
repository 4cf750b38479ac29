"""What a protocol is, and the arrays that it gets of a model."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from pipeline.store import list_files

KEY = "data.subset_lists"  # the parameter with the folder of published lists
VGGSOUND_NAME = re.compile(r".+_\d{6}")  # of a clip: YouTube id, first second

# What a model gives a protocol: values of `Protocol.needs`.
SHARED_WINDOWS = "shared windows"  # `Windows`, of sounds and pictures in one space
WINDOWS = "windows"  # `Windows`, of the modalities that the model has
PROBABILITIES = "probabilities"  # `Probabilities`
SEGMENTS = "segments"  # `Segments`
MAPS = "maps"  # `Maps`


@dataclass(frozen=True)
class Windows:
    """Embeddings of k windows of each of n clips.

    embeddings: "audio", "video" or "both" (one vector for both) -> (n, k, dim), each vector of length 1.
    score: the matcher's score, sounds (p, dim) and pictures (q, dim) -> (p, q); None: the cosine.
    """

    embeddings: dict[str, np.ndarray]
    score: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class Probabilities:
    """Class probabilities of n clips.

    classes: their C names. by_input: what the model sees, "both", "audio" or "video" -> (n, C).
    """

    classes: list[str]
    by_input: dict[str, np.ndarray]


@dataclass(frozen=True)
class Segments:
    """What a model says of each second of n clips, of at most s seconds.

    seconds: (n,) int, how many seconds each clip has; later segments of it are padding. classes: C names.
    probabilities: (n, s, C); None if the model has no classes. embeddings: "audio", "video" -> (n, s, dim);
    empty unless sounds and pictures share a space. multilabel: whether a segment may have several classes.
    """

    seconds: np.ndarray
    classes: list[str] = field(default_factory=list)
    probabilities: np.ndarray | None = None
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)
    multilabel: bool = False


@dataclass(frozen=True)
class Maps:
    """Where in a picture a model locates the sound of a clip, for n clips.

    values: (n, h, w), large where it does. frame_aspect: width over height of the stored frames, which are
    cropped from the middle of the picture; None: they are whole pictures. object_values: (n, h, w), large
    where something is in view, whether it sounds or not; None if the model has no such map.
    """

    values: np.ndarray
    frame_aspect: float | None = None
    object_values: np.ndarray | None = None


@dataclass(frozen=True)
class Listing:
    """A published list of test clips.

    truth: id of each clip, in the order of the list -> what its measures compare with, or None. extra: what
    else the list holds, such as pairs of clips.
    """

    truth: dict[str, Any]
    extra: Any = None


@dataclass(frozen=True)
class Subset:
    """The n clips that a protocol evaluates.

    ids: of the published list, or clip ids. truth: as in a Listing. groups: (n,) the video (or person) of
    each; clips of one are not independent. extra: of the Listing; None without one. rows: of the clip table.
    """

    ids: list[str]
    truth: list[Any]
    groups: list[Any]
    extra: Any = None
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """Settings of protocols.

    bootstrap: number of resamples for each interval. seed: of all random choices. windows: of a clip, for
    protocols that compare several. similarity: how they are combined, one of `_retrieval.SIMILARITIES`.
    frames: positions of the frames in a window, over which a classifier's probabilities are averaged.
    """

    bootstrap: int = 1000
    seed: int = 0
    windows: int = 16
    similarity: str = "diagonal_mean"
    frames: int = 1


class Protocol(ABC):
    """A published evaluation: a list of test clips, and measures.

    needs: what it gets of a model, a constant above. lists: names of its list in `data.subset_lists`; the
    first that is there is read (also with .gz). data, measures, source: for the table in docs/protocols.md.
    """

    needs: ClassVar[str]
    lists: ClassVar[tuple[str, ...]]
    data: ClassVar[str]
    measures: ClassVar[str]
    blind_guess: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def read(self, path: str) -> Listing:
        """Read the published list. Raises UserError with all rows that are invalid."""

    @abstractmethod
    def evaluate(self, outputs: Any, subset: Subset, options: Options) -> dict[str, Any]:
        """Compute the measures.

        outputs: the object that `needs` names, with the clips of `subset`. Returns sections of metrics, or
        one: {metric: value, "n", "ci": {metric: [low, high]}, "chance": {metric: what a blind guess gets}}.
        """

    def ids(self, row: dict[str, Any]) -> Iterator[str]:
        """Yield the names by which a list may have a clip: its id, and the names of its files.

        row: of the clip table.
        """
        clip_id = row["clip_id"]
        yield clip_id
        if clip_id.startswith("_-"):  # an id of YouTube that begins with -
            yield clip_id[1:]
        for side in ("audio", "video"):
            if row.get(side):
                name = row[side].rpartition("::")[2].rpartition("/")[2]
                yield name.rpartition(".")[0] or name

    def is_listed(self, row: dict[str, Any], listing: Listing) -> bool:
        """Return whether a model must not be trained on a clip. row: of the clip table."""
        return any(name in listing.truth for name in self.ids(row))

    def has_truth(self, row: dict[str, Any]) -> bool:
        """Return whether `own_truth` knows what to compare with. row: of the clip table."""
        return True

    def own_truth(self, row: dict[str, Any]) -> Any:
        """Return the truth of a test clip that is in no published list. row: of the clip table."""
        return None

    def find_list(self, folder: str) -> str | None:
        """Return the path of the published list in `data.subset_lists`; None if it is not there."""
        paths = (list_files.search_list(folder, name) for name in self.lists)
        return next((path for path in paths if path), None)


def read_ids(path: str, pattern: Any, what: str) -> list[str]:
    """Return the first column of a list, which must match a regular expression. what: it is, for a message.

    Raises UserError with the rows that do not.
    """
    ids, problems = [], []
    for line, fields in list_files.read_rows(path, path, KEY):
        name = fields[0].strip()
        if pattern.fullmatch(name):
            ids.append(name)
        else:
            problems.append(f"line {line}: not {what}: {name[:60]}")
    list_files.raise_problems(path, KEY, problems)
    return ids


def fail(path: str, reason: str) -> None:
    """Raise UserError about a list."""
    list_files.raise_problems(path, KEY, [reason])
