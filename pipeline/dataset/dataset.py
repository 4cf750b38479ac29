"""Training data as it lies on disk: windows of sound and picture, read from memory-mapped shards.

Nothing is loaded whole. A window is named by a clip and a place in it, `at`, from 0 (the first window that
fits into the clip's usable part) to 1 (the last); evaluation takes the middle, 0.5. The rule is in
pipeline.dataset.windows, the reader of shards in pipeline.store.values.
"""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.windows import MIDDLE, WindowRule
from pipeline.errors import UserError
from pipeline.store.clip_table import SPLITS
from pipeline.store.formats import digest, read_table
from pipeline.store.shards import read_index, row_numbers
from pipeline.store.status import OK
from pipeline.store.values import ClipArrays

STATISTICS = "statistics.json"
PART = 65_536  # rows that are Python's at a time


@dataclass
class Dataset:
    """The usable clips, in the clip table's order, as columns; `read` gives their windows.

    folder: where the stages wrote. audio, video: what they made of all clips, as arrays (n, ...).
    audio_shape: (channels, freq, time) of a window; video_shape: (frames, height, width, 3).
    """

    folder: Path
    clip_id: list[str]
    split: np.ndarray  # (n,) str: train, val, test
    group: np.ndarray  # (n,) numbers, or names: clips of one group are never each other's negatives
    recording: np.ndarray  # (n,) numbers: clips cut from one video have the same
    columns: dict[str, list]  # of the clip table: labels, subject, and those of the source
    seconds: np.ndarray  # (n,) float: how much is usable
    times: np.ndarray  # (n, stored frames) float: s from the clip's start
    audio: ClipArrays | np.ndarray
    video: ClipArrays | np.ndarray
    windows: WindowRule
    digest: str  # of all that is in it

    def __len__(self) -> int:
        return len(self.clip_id)

    @property
    def audio_shape(self) -> tuple[int, int, int]:
        channels, freq = self.audio.shape[1:3]
        return channels, freq, self.windows.columns

    @property
    def video_shape(self) -> tuple[int, int, int, int]:
        height, width, colours = self.video.shape[2:]
        return self.windows.window_frames, height, width, colours

    def kinds(self, label: str) -> list[list[str]]:
        """What each clip is, by `label` of the parameters: its labels (category), or a column's value.

        Raises UserError where there is no such column.
        """
        name = "labels" if label == "category" else label
        if name not in self.columns:
            known = ["category", *sorted(set(self.columns) - {"labels"})]
            near = difflib.get_close_matches(label, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"label: {label}: the clip table has no such column; {hint}there are {', '.join(known)}"
            )
        return [_several(value) for value in self.columns[name]]

    @property
    def labels(self) -> list[list[str]]:
        return self.kinds("category")

    @property
    def subject(self) -> list[str | None]:
        return self.columns["subject"]

    @property
    def statistics(self) -> dict[str, float]:
        """Mean and deviation of the training split's features, from the stage `statistics`."""
        path = self.folder / STATISTICS
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {name: found[name] for name in ("mean", "std")}
        except (OSError, ValueError, KeyError) as e:
            raise UserError(f"{path}: no mean and deviation there ({e}): run dvc repro statistics") from None

    def of(self, split: str) -> np.ndarray:
        """The numbers of the clips of a split."""
        return np.flatnonzero(self.split == split)

    def place(
        self, clip: np.ndarray, at: np.ndarray | float, look: np.ndarray | float = MIDDLE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where windows lie: first column (n,), and numbers of frames (n, window_frames) in order, those
        nearest to the place `look` in the window.

        clip: (n,) numbers. at, look: (n,) or one number, 0 to 1.
        """
        start = self.windows.first_columns(self.seconds[clip], at)
        return start, self.windows.frames(start, self.times[clip], look)

    def read(
        self, clip: np.ndarray, at: np.ndarray | float = MIDDLE, look: np.ndarray | float = MIDDLE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Windows of clips: (n, channels, freq, time) and (n, frames, height, width, 3) uint8."""
        start, frames = self.place(clip, at, look)
        width = self.audio_shape[2]
        audio = np.empty((len(clip), *self.audio_shape), self.audio.dtype)
        video = np.empty((len(clip), *self.video_shape), np.uint8)
        for i, c in enumerate(clip):
            audio[i] = self.audio[c][:, :, start[i] : start[i] + width]
            stored = self.video[c]
            for j, frame in enumerate(frames[i]):
                video[i, j] = stored[frame]
        return audio, video


NEEDED = ["clip_id", "shard", "row", "status", "digest", "seconds"]  # of an index
NOT_LABELS = {"clip_id", "audio", "video", "start", "end", "split"}


def load(folder: str | Path, audio, video, picture: str = "frame") -> Dataset:
    """The clips that have a split, and sound and picture that are ok.

    folder: where the stages wrote: clips.parquet, splits.parquet, spectrogram/, frames/ or faces/. audio,
    video: the sections of the parameters (sample_rate, hop_length, window_seconds; window_frames). picture:
    `input` of the parameters.
    Raises UserError where a table or index is missing, or where no clip is usable.
    """
    folder = Path(folder)
    spectrogram, frames = folder / "spectrogram", folder / ("faces" if picture == "face" else "frames")
    splits = folder / "splits.parquet"
    rows = _read(splits, ["clip_id", "split", "group", "recording"])
    rows = rows.filter(pc.is_valid(rows["split"]))
    tables = (
        read_index(spectrogram, NEEDED),
        read_index(frames, [*NEEDED, "times"]),
        _read(folder / "clips.parquet"),
    )
    places_of = [row_numbers(table, rows["clip_id"]) for table in tables]
    there = pc.is_valid(places_of[2])
    for index, numbers in zip(tables[:2], places_of, strict=False):
        there = pc.and_(there, pc.fill_null(pc.equal(index["status"].take(numbers), OK), False))
    rows = rows.filter(there)
    if not len(rows):
        raise UserError(f"{splits}: no clip has both sound and picture: see status and detail in that table")
    heard, seen, about = (t.take(n.filter(there)) for t, n in zip(tables, places_of, strict=True))
    about = about.select([name for name in about.column_names if name not in NOT_LABELS])
    features, pictures = ClipArrays.from_index(spectrogram, heard), ClipArrays.from_index(frames, seen)
    windows = WindowRule.of(audio, video, clip_columns=features.shape[3])
    sound, picture_seconds = (table["seconds"].to_numpy() for table in (heard, seen))
    # By number: a source's own column may have any name.
    told = [*rows.columns, *about.columns, heard["digest"], seen["digest"]]
    content = pa.table(told, [str(i) for i in range(len(told))])
    return Dataset(
        folder=folder,
        clip_id=rows["clip_id"].to_pylist(),
        split=np.array(SPLITS)[pc.index_in(rows["split"], value_set=pa.array(SPLITS))],
        group=_numbers(rows["group"]),
        recording=_numbers(rows["recording"]),
        columns={name: about[name].to_pylist() for name in about.column_names},
        seconds=windows.usable_seconds(sound, picture_seconds),
        times=pc.list_flatten(seen["times"]).to_numpy().reshape(len(seen), -1),
        audio=features,
        video=pictures,
        windows=windows,
        digest=digest(
            about.column_names, *(content.slice(i, PART).to_pylist() for i in range(0, len(content), PART))
        ),
    )


def _numbers(names: pa.ChunkedArray) -> np.ndarray:
    """Numbers in place of names, in their alphabetical order."""
    coded = names.combine_chunks().dictionary_encode()
    rank = np.empty(len(coded.dictionary), int)
    rank[pc.sort_indices(coded.dictionary)] = np.arange(len(rank))
    return rank[coded.indices]


def _several(value) -> list[str]:
    if value is None or value == "":
        return []
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    try:
        return read_table(path, columns)
    except FileNotFoundError:
        raise UserError(f"{path}: not there: run dvc repro") from None
    except (OSError, ValueError) as e:  # pyarrow's own errors are ValueErrors
        raise UserError(f"{path}: cannot be read ({str(e).splitlines()[0]}): run dvc repro") from None
