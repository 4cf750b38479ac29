"""The data set for training and evaluation: windows of sound and video, read from memory-mapped shards.

No shard is loaded whole. A window is identified by a clip and a position, from 0 (the first window that
fits into the clip's usable part) to 1 (the last); evaluation takes the middle, 0.5. The rule for cutting
windows is in pipeline.dataset.windows, the reader of shards in pipeline.store.values.
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
DIGEST_BLOCK = 65_536  # rows converted to Python objects at a time
INDEX_COLUMNS = ["clip_id", "shard", "row", "status", "digest", "seconds"]
NOT_LABELS = {"clip_id", "audio", "video", "start", "end", "split"}  # clip table columns that label nothing


@dataclass
class Dataset:
    """The usable clips, in the order of the clip table, as columns; `read` returns their windows.

    folder: the folder with the outputs of the stages. audio, video: the stored arrays of all clips, (n, ...).
    audio_shape: (channels, freq, time) of a window; video_shape: (frames, height, width, 3).
    """

    folder: Path
    clip_id: list[str]
    split: np.ndarray  # (n,) str: train, val, test
    group: np.ndarray  # (n,) int or str: clips of one group are never each other's negatives
    recording: np.ndarray  # (n,) int: the same for clips cut from one video
    columns: dict[str, list]  # of the clip table: labels, subject, and the source's additional columns
    seconds: np.ndarray  # (n,) float: usable duration
    times: np.ndarray  # (n, stored frames) float: s from the clip's start
    audio: ClipArrays | np.ndarray
    video: ClipArrays | np.ndarray
    windows: WindowRule
    digest: str  # of the whole content

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

    def class_names(self, label: str) -> list[list[str]]:
        """Return the classes of each clip by `label` of params.yaml: its labels (category), or a column.

        Raises UserError if the clip table has no such column.
        """
        name = "labels" if label == "category" else label
        if name not in self.columns:
            names = ["category", *sorted(set(self.columns) - {"labels"})]
            near = difflib.get_close_matches(label, names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"label: {label}: the clip table has no such column; {hint}choose one of {', '.join(names)}"
            )
        return [_as_strings(value) for value in self.columns[name]]

    @property
    def labels(self) -> list[list[str]]:
        return self.class_names("category")

    @property
    def subject(self) -> list[str | None]:
        return self.columns["subject"]

    @property
    def statistics(self) -> dict[str, float]:
        """Mean and standard deviation of the training split's features, from the stage `statistics`."""
        path = self.folder / STATISTICS
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return {name: values[name] for name in ("mean", "std")}
        except (OSError, ValueError, KeyError) as e:
            raise UserError(f"{path}: cannot read mean and std ({e}): run dvc repro statistics") from None

    def indices(self, split: str) -> np.ndarray:
        """Return the indices of the clips of a split."""
        return np.flatnonzero(self.split == split)

    def locate_windows(
        self, clip: np.ndarray, position: np.ndarray | float, frame_position: np.ndarray | float = MIDDLE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the first column (n,) and the frame numbers (n, window_frames), in order, of windows.

        clip: (n,) indices. position: of the window in its clip; frame_position: the moment in the window to
        which the frames are nearest; both 0 to 1, (n,) or one number.
        """
        start = self.windows.first_columns(self.seconds[clip], position)
        return start, self.windows.frames(start, self.times[clip], frame_position)

    def read(
        self,
        clip: np.ndarray,
        position: np.ndarray | float = MIDDLE,
        frame_position: np.ndarray | float = MIDDLE,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read windows: (n, channels, freq, time) and (n, frames, height, width, 3) uint8.

        Arguments as in `locate_windows`.
        """
        start, frames = self.locate_windows(clip, position, frame_position)
        width = self.audio_shape[2]
        audio = np.empty((len(clip), *self.audio_shape), self.audio.dtype)
        video = np.empty((len(clip), *self.video_shape), np.uint8)
        for i, c in enumerate(clip):
            audio[i] = self.audio[c][:, :, start[i] : start[i] + width]
            clip_frames = self.video[c]
            for j, frame in enumerate(frames[i]):
                video[i, j] = clip_frames[frame]
        return audio, video


def load(folder: str | Path, audio, video, video_input: str = "frame") -> Dataset:
    """Load the clips that have a split and whose sound and video both have the status ok.

    folder: the outputs of the stages: clips.parquet, splits.parquet, spectrogram/, frames/ or faces/. audio,
    video: these sections of params.yaml (sample_rate, hop_length, window_seconds; window_frames).
    video_input: `input` of params.yaml, "frame" or "face".
    Raises UserError if a table or index is missing, or if no clip is usable.
    """
    folder = Path(folder)
    audio_folder, video_folder = (
        folder / "spectrogram",
        folder / ("faces" if video_input == "face" else "frames"),
    )
    split_rows, audio_index, video_index, clip_rows = _usable_rows(folder, audio_folder, video_folder)
    clip_columns = clip_rows.select([name for name in clip_rows.column_names if name not in NOT_LABELS])
    audio_arrays, video_arrays = (
        ClipArrays.from_index(audio_folder, audio_index),
        ClipArrays.from_index(video_folder, video_index),
    )
    windows = WindowRule.from_config(audio, video, clip_columns=audio_arrays.shape[3])
    audio_seconds, video_seconds = (index["seconds"].to_numpy() for index in (audio_index, video_index))
    return Dataset(
        folder=folder,
        clip_id=split_rows["clip_id"].to_pylist(),
        split=np.array(SPLITS)[pc.index_in(split_rows["split"], value_set=pa.array(SPLITS))],
        group=_rank_names(split_rows["group"]),
        recording=_rank_names(split_rows["recording"]),
        columns={name: clip_columns[name].to_pylist() for name in clip_columns.column_names},
        seconds=windows.usable_seconds(audio_seconds, video_seconds),
        times=pc.list_flatten(video_index["times"]).to_numpy().reshape(len(video_index), -1),
        audio=audio_arrays,
        video=video_arrays,
        windows=windows,
        digest=_digest(split_rows, clip_columns, audio_index, video_index),
    )


def _usable_rows(
    folder: Path, audio_folder: Path, video_folder: Path
) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """Return the rows of the usable clips, in one order: splits, both indexes and the clip table."""
    path = folder / "splits.parquet"
    split_rows = _read(path, ["clip_id", "split", "group", "recording"])
    split_rows = split_rows.filter(pc.is_valid(split_rows["split"]))
    tables = (
        read_index(audio_folder, INDEX_COLUMNS),
        read_index(video_folder, [*INDEX_COLUMNS, "times"]),
        _read(folder / "clips.parquet"),
    )
    matches = [row_numbers(table, split_rows["clip_id"]) for table in tables]
    is_usable = pc.is_valid(matches[2])
    for index, numbers in zip(tables[:2], matches, strict=False):
        is_usable = pc.and_(is_usable, pc.fill_null(pc.equal(index["status"].take(numbers), OK), False))
    split_rows = split_rows.filter(is_usable)
    if not len(split_rows):
        raise UserError(f"{path}: no clip has both sound and picture: see status and detail in that table")
    audio_index, video_index, clip_rows = (
        table.take(numbers.filter(is_usable)) for table, numbers in zip(tables, matches, strict=True)
    )
    return split_rows, audio_index, video_index, clip_rows


def _digest(
    split_rows: pa.Table, clip_columns: pa.Table, audio_index: pa.Table, video_index: pa.Table
) -> str:
    """Hash everything in the data set: table values, and the digests of the stored arrays."""
    columns = [*split_rows.columns, *clip_columns.columns, audio_index["digest"], video_index["digest"]]
    # Columns are named by number: a column of the source may have any name.
    content = pa.table(columns, [str(i) for i in range(len(columns))])
    blocks = (content.slice(i, DIGEST_BLOCK).to_pylist() for i in range(0, len(content), DIGEST_BLOCK))
    return digest(clip_columns.column_names, *blocks)


def _rank_names(names: pa.ChunkedArray) -> np.ndarray:
    """Replace each name by its rank in alphabetical order."""
    encoded = names.combine_chunks().dictionary_encode()
    rank = np.empty(len(encoded.dictionary), int)
    rank[pc.sort_indices(encoded.dictionary)] = np.arange(len(rank))
    return rank[encoded.indices]


def _as_strings(value) -> list[str]:
    """Return a cell of the clip table as a list of strings; a missing or empty value is an empty list."""
    if value is None or value == "":
        return []
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    try:
        return read_table(path, columns)
    except FileNotFoundError:
        raise UserError(f"{path}: not there: run dvc repro") from None
    except (OSError, ValueError) as e:  # pyarrow's errors are subclasses of ValueError
        raise UserError(f"{path}: cannot be read ({str(e).splitlines()[0]}): run dvc repro") from None
