"""The data set for training and evaluation: windows of sound and video, read from memory-mapped shards.

No shard is loaded whole. A window is identified by a clip and a position, from 0 (the first window that
fits into the clip's usable part) to 1 (the last); evaluation takes the middle, 0.5. The rule for cutting
windows is in pipeline.dataset.windows, the reader of shards in pipeline.store.values.
"""

import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.features import FEATURE_FOLDERS, FeatureUse
from pipeline.dataset.windows import MIDDLE, Segments, WindowRule
from pipeline.errors import UserError
from pipeline.store.clip_table import SPLITS
from pipeline.store.formats import digest, read_table
from pipeline.store.shards import INDEX, read_index, row_numbers
from pipeline.store.status import OK
from pipeline.store.values import ClipArrays

STATISTICS = "statistics.json"
DIGEST_BLOCK = 65_536  # rows converted to Python objects at a time
INDEX_COLUMNS = ["clip_id", "shard", "row", "status", "digest", "seconds"]
NOT_LABELS = {"clip_id", "audio", "video", "start", "end", "split"}  # clip table columns that label nothing


@dataclass
class Dataset:
    """The n usable clips, in the order of the clip table, as columns; `read` returns their windows."""

    folder: Path  # with the outputs of the stages
    clip_id: list[str]
    split: np.ndarray  # (n,) str: train, val, test
    group: np.ndarray  # (n,) int or str: clips of one group are never each other's negatives
    recording: np.ndarray  # (n,) int: the same for clips cut from one video
    columns: dict[str, list]  # of the clip table: labels, subject, and the source's additional columns
    seconds: np.ndarray  # (n,) float: usable duration
    times: np.ndarray  # (n, stored frames) float: s from the clip's start
    audio: ClipArrays | np.ndarray  # (n, channels, freq, stored columns)
    video: ClipArrays | np.ndarray  # (n, stored frames, height, width, 3) uint8
    windows: WindowRule  # where windows lie in a clip
    digest: str  # hash of the whole content, without `features`
    # Outputs of towers: "audio" -> (n, segments, dim), "video" -> (n, stored frames, dim)
    features: dict[str, ClipArrays] = field(default_factory=dict)
    features_digest: str = ""  # hash of the content of `features`

    def __len__(self) -> int:
        return len(self.clip_id)

    @property
    def audio_shape(self) -> tuple[int, int, int]:
        """(channels, freq, time) of a window."""
        channels, freq = self.audio.shape[1:3]
        return channels, freq, self.windows.columns

    @property
    def video_shape(self) -> tuple[int, int, int, int]:
        """(frames, height, width, 3) of a window."""
        height, width, colours = self.video.shape[2:]
        return self.windows.window_frames, height, width, colours

    def class_names(self, label: str) -> list[list[str]]:
        """Return a list of classes for each clip, (n,).

        label: the parameter of that name: "category" for the clip's labels, or another column of the clip
        table. Raises UserError if there is no such column.
        """
        name = "labels" if label == "category" else label
        if name not in self.columns:
            names = ["category", *sorted(set(self.columns) - {"labels"})]
            similar_names = difflib.get_close_matches(label, names, n=1)
            hint = f"did you mean {similar_names[0]}? " if similar_names else ""
            raise UserError(
                f"label: {label}: the clip table has no such column; {hint}choose one of {', '.join(names)}"
            )
        return [_as_strings(value) for value in self.columns[name]]

    @property
    def labels(self) -> list[list[str]]:
        """The labels of each clip, (n,)."""
        return self.class_names("category")

    @property
    def subject(self) -> list[str | None]:
        """The person in each clip, (n,); None if the clip table names none."""
        return self.columns["subject"]

    @property
    def statistics(self) -> dict[str, float]:
        """{"mean", "std"} of the training split's features, from the stage `statistics`.

        Raises UserError if its file is missing or damaged.
        """
        path = self.folder / STATISTICS
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return {name: values[name] for name in ("mean", "std")}
        except (OSError, ValueError, KeyError) as e:
            raise UserError(f"{path}: cannot read mean and std ({e}): run dvc repro statistics") from None

    def indices(self, split: str) -> np.ndarray:
        """Return the indices of the clips of a split: "train", "val" or "test"."""
        return np.flatnonzero(self.split == split)

    def locate_windows(
        self,
        clip: np.ndarray,
        position: np.ndarray | float,
        frame_position: np.ndarray | float = MIDDLE,
        segments: Segments | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the first spectrogram columns (n,) and the frame numbers (n, window_frames) of windows.

        clip: (n,) indices of the clips. position: of the window in its clip, 0 (the first one) to 1 (the
        last). frame_position: the moment in the window to which the frames are nearest, 0 (its beginning) to
        1 (its end). Both are (n,) or one number for all. Frame numbers are in order. segments: the division
        of sound, on whose grid windows begin; None: they begin anywhere.
        """
        hop_columns = segments.hop_columns if segments else 1
        start = self.windows.first_columns(self.seconds[clip], position, hop_columns)
        return start, self.windows.frames(start, self.times[clip], frame_position)

    def read(
        self,
        clip: np.ndarray,
        position: np.ndarray | float = MIDDLE,
        frame_position: np.ndarray | float = MIDDLE,
        features: FeatureUse | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read windows: audio (n, channels, freq, time) and video (n, frames, height, width, 3) uint8.

        clip: (n,) indices of the clips. position: of the window in its clip, 0 (the first one) to 1 (the
        last). frame_position: the moment in the window to which the frames are nearest, 0 (its beginning) to
        1 (its end). Both are (n,) or one number for all.
        features: which sides a model reads as features of towers. If they are stored, the result has them
        instead: audio (n, segments, dim), video (n, frames, dim). The windows are the same in both cases.
        """
        features = features or FeatureUse()
        first_columns, frame_numbers = self.locate_windows(clip, position, frame_position, features.segments)
        if "audio" in features.sides and "audio" in self.features:
            assert features.segments is not None
            audio_arrays, width = self.features["audio"], features.segments.count(self.windows.columns)
            starts = first_columns // features.segments.hop_columns
            audio = np.empty((len(clip), width, audio_arrays.shape[2]), audio_arrays.dtype)
            for i, clip_index in enumerate(clip):
                audio[i] = audio_arrays[clip_index][starts[i] : starts[i] + width]
        else:
            audio = np.empty((len(clip), *self.audio_shape), self.audio.dtype)
            for i, clip_index in enumerate(clip):
                columns = slice(first_columns[i], first_columns[i] + self.windows.columns)
                audio[i] = self.audio[clip_index][:, :, columns]
        is_cached = "video" in features.sides and "video" in self.features
        frames = self.features["video"] if is_cached else self.video
        video = np.empty((*frame_numbers.shape, *frames.shape[2:]), frames.dtype)
        for i, clip_index in enumerate(clip):
            clip_frames = frames[clip_index]
            for j, frame_number in enumerate(frame_numbers[i]):
                video[i, j] = clip_frames[frame_number]
        return audio, video


def load(
    folder: str | Path, audio, video, video_input: str = "frame", with_features: bool = False
) -> Dataset:
    """Load the clips that have a split and whose sound and video both have the status ok.

    folder: the outputs of the stages: clips.parquet, splits.parquet, spectrogram/, frames/ or faces/.
    audio, video: these sections of params.yaml (sample_rate, hop_length, window_seconds; window_frames).
    video_input: the parameter `input`, "frame" or "face". with_features: also load the features of towers, if
    the stages audio_towers or video_towers have stored some.
    Raises UserError if a table or index is missing, or if no clip is usable.
    """
    folder = Path(folder)
    audio_folder = folder / "spectrogram"
    video_folder = folder / ("faces" if video_input == "face" else "frames")
    split_rows, audio_index, video_index, clip_rows = _usable_rows(folder, audio_folder, video_folder)
    clip_columns = clip_rows.select([name for name in clip_rows.column_names if name not in NOT_LABELS])
    audio_arrays = ClipArrays.from_index(audio_folder, audio_index)
    video_arrays = ClipArrays.from_index(video_folder, video_index)
    windows = WindowRule.from_config(audio, video, clip_columns=audio_arrays.shape[3])
    features, features_digest = _load_features(folder, split_rows["clip_id"]) if with_features else ({}, "")
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
        features=features,
        features_digest=features_digest,
    )


def _load_features(folder: Path, clip_id: pa.ChunkedArray) -> tuple[dict[str, ClipArrays], str]:
    """Return side -> the features of towers of these clips, and a hash of their content.

    Sides without towers are left out. Raises UserError if the features of a clip are missing.
    """
    features: dict[str, ClipArrays] = {}
    digests = []
    for side, name in FEATURE_FOLDERS.items():
        if not (folder / name / INDEX).exists():
            continue
        index = read_index(folder / name, ["clip_id", "shard", "row", "status", "digest"])
        if not len(index):
            continue
        rows = row_numbers(index, clip_id)
        index_rows = index.take(rows)
        is_ok = pc.fill_null(pc.equal(index_rows["status"], OK), False)
        if not pc.all(is_ok).as_py():
            clip = clip_id.filter(pc.invert(is_ok))[0].as_py()
            raise UserError(f"{folder / name}: no features of clip {clip}: run dvc repro {side}_towers")
        features[side] = ClipArrays.from_index(folder / name, index_rows)
        digests += [side, index_rows["digest"].to_pylist()]
    return features, digest(*digests)


def _usable_rows(
    folder: Path, audio_folder: Path, video_folder: Path
) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """Return the rows of the usable clips in four tables, in the same order.

    These are the table of splits, the index of the audio, the index of the video, and the clip table.
    Raises UserError if a table is missing, or if no clip is usable.
    """
    path = folder / "splits.parquet"
    split_rows = _read_table(path, ["clip_id", "split", "group", "recording"])
    split_rows = split_rows.filter(pc.is_valid(split_rows["split"]))
    audio_index = read_index(audio_folder, INDEX_COLUMNS)
    video_index = read_index(video_folder, [*INDEX_COLUMNS, "times"])
    clip_table = _read_table(folder / "clips.parquet")
    # The row of each clip in these tables, null if it has none.
    audio_rows = row_numbers(audio_index, split_rows["clip_id"])
    video_rows = row_numbers(video_index, split_rows["clip_id"])
    clip_rows = row_numbers(clip_table, split_rows["clip_id"])
    is_usable = pc.is_valid(clip_rows)
    for index, rows in ((audio_index, audio_rows), (video_index, video_rows)):
        is_ok = pc.equal(index["status"].take(rows), OK)
        is_usable = pc.and_(is_usable, pc.fill_null(is_ok, False))
    split_rows = split_rows.filter(is_usable)
    if not len(split_rows):
        raise UserError(f"{path}: no clip has both sound and picture: see status and detail in that table")
    return (
        split_rows,
        audio_index.take(audio_rows.filter(is_usable)),
        video_index.take(video_rows.filter(is_usable)),
        clip_table.take(clip_rows.filter(is_usable)),
    )


def _digest(
    split_rows: pa.Table, clip_columns: pa.Table, audio_index: pa.Table, video_index: pa.Table
) -> str:
    """Return a hash of everything in the data set: table values, and the digests of the stored arrays."""
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


def _read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file; None: all its columns. Raises UserError if it is missing or unreadable."""
    try:
        return read_table(path, columns)
    except FileNotFoundError:
        raise UserError(f"{path}: not there: run dvc repro") from None
    except (OSError, ValueError) as e:  # pyarrow's errors are subclasses of ValueError
        raise UserError(f"{path}: cannot be read ({str(e).splitlines()[0]}): run dvc repro") from None
