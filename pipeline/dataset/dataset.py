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
from pipeline.dataset.tables import rank_names, read_usable_rows
from pipeline.dataset.windows import MIDDLE, MISSING, Segments, WindowRule
from pipeline.errors import UserError
from pipeline.store.clip_table import SPLITS
from pipeline.store.formats import digest
from pipeline.store.shards import INDEX, read_index, row_numbers
from pipeline.store.status import OK
from pipeline.store.values import ClipArrays

STATISTICS = "statistics.json"
SIDES = ("audio", "video")


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
    # (n, channels, freq, stored columns), and (n, stored frames, height, width, 3) uint8. If no clip has a
    # side, its channels and frequencies, or its frames and pixels, are 0.
    audio: ClipArrays | np.ndarray
    video: ClipArrays | np.ndarray
    windows: WindowRule  # where windows lie in a clip
    digest: str  # hash of the whole content, without `features`
    # Outputs of towers: "audio" -> (n, segments, dim), "video" -> (n, stored frames, dim)
    features: dict[str, ClipArrays] = field(default_factory=dict)
    features_digest: str = ""  # hash of the content of `features`
    sides: tuple[str, ...] = SIDES  # those that models read: every clip has them

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

    def has_side(self, side: str) -> np.ndarray:
        """Return whether each clip has a side, "audio" or "video": (n,) bool."""
        arrays = self.audio if side == "audio" else self.video
        return arrays.has_value if isinstance(arrays, ClipArrays) else np.full(len(self), arrays.size > 0)

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
        sides: tuple[str, ...] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read windows: audio (n, channels, freq, time) and video (n, frames, height, width, 3) uint8.

        clip: (n,) indices of the clips. position: of the window in its clip, 0 (the first one) to 1 (the
        last). frame_position: the moment in the window to which the frames are nearest, 0 (its beginning) to
        1 (its end). Both are (n,) or one number for all.
        features: which sides a model reads as features of towers. If they are stored, the result has them
        instead: audio (n, segments, dim), video (n, frames, dim). The windows are the same in both cases.
        sides: those to read, which these clips must have; None: those of the data set. The other one is
        empty, (n, 0).
        """
        features = features or FeatureUse()
        sides = sides or self.sides
        first_columns, frame_numbers = self.locate_windows(clip, position, frame_position, features.segments)
        audio = video = np.empty((len(clip), 0), np.float32)
        if "audio" in sides:
            audio = self._read_audio(clip, first_columns, features)
        if "video" in sides:
            video = self._read_video(clip, frame_numbers, features)
        return audio, video

    def _read_audio(self, clip: np.ndarray, first_columns: np.ndarray, features: FeatureUse) -> np.ndarray:
        """Read the sound of windows, or its features, as `read` does. first_columns: of the windows, (n,)."""
        if "audio" in features.sides and "audio" in self.features:
            assert features.segments is not None
            arrays, width = self.features["audio"], features.segments.count(self.windows.columns)
            starts = first_columns // features.segments.hop_columns
            audio = np.empty((len(clip), width, arrays.shape[2]), arrays.dtype)
            for i, clip_index in enumerate(clip):
                audio[i] = arrays[clip_index][starts[i] : starts[i] + width]
            return audio
        audio = np.empty((len(clip), *self.audio_shape), self.audio.dtype)
        for i, clip_index in enumerate(clip):
            columns = slice(first_columns[i], first_columns[i] + self.windows.columns)
            audio[i] = self.audio[clip_index][:, :, columns]
        return audio

    def _read_video(self, clip: np.ndarray, frame_numbers: np.ndarray, features: FeatureUse) -> np.ndarray:
        """Read the frames of windows, or their features, as `read` does.

        frame_numbers: of the windows, (n, window_frames).
        """
        is_cached = "video" in features.sides and "video" in self.features
        frames = self.features["video"] if is_cached else self.video
        video = np.empty((*frame_numbers.shape, *frames.shape[2:]), frames.dtype)
        for i, clip_index in enumerate(clip):
            clip_frames = frames[clip_index]
            for j, frame_number in enumerate(frame_numbers[i]):
                video[i, j] = clip_frames[frame_number]
        return video


def load(
    folder: str | Path,
    audio,
    video,
    video_input: str = "frame",
    with_features: bool = False,
    modality: str = "both",
    no_source: bool = False,
) -> Dataset:
    """Load the clips that have a split, and whose sound and video, as far as models read them, are ok.

    folder: the outputs of the stages: clips.parquet, splits.parquet, spectrogram/, frames/ or faces/.
    audio, video: these sections of params.yaml (sample_rate, hop_length, window_seconds; window_frames).
    video_input: the parameter `input`, "frame" or "face". with_features: also load the features of towers, if
    the stages audio_towers or video_towers have stored some. modality: what models read, "audio", "video" or
    "both". no_source: load instead the clips with the status `no_source`, in which nothing in view makes the
    sound; they have the split "test".
    Raises UserError if a table or index is missing, or if no clip is usable.
    """
    folder = Path(folder)
    audio_folder = folder / "spectrogram"
    video_folder = folder / ("faces" if video_input == "face" else "frames")
    sides = SIDES if modality == "both" else (modality,)
    rows = read_usable_rows(folder, audio_folder, video_folder, sides, no_source)
    # A side that models do not read sets no limit to the windows.
    audio_seconds, video_seconds = (
        index["seconds"].to_numpy() if side in sides else np.full(len(index), MISSING)
        for side, index in zip(SIDES, (rows.audio, rows.video), strict=True)
    )
    longest = video_seconds.max() if sides == ("video",) else 0.0
    n_columns = 1 + int(longest * audio.sample_rate / audio.hop_length)  # those that a sound would have
    audio_arrays = _open_arrays(audio_folder, rows.audio, (0, 0, n_columns))
    video_arrays = _open_arrays(video_folder, rows.video, (0, 0, 0, 3))
    windows = WindowRule.from_config(audio, video, clip_columns=audio_arrays.shape[3])
    clip_id = rows.splits["clip_id"]
    features, features_digest = _load_features(folder, clip_id, sides) if with_features else ({}, "")
    return Dataset(
        folder=folder,
        clip_id=clip_id.to_pylist(),
        split=np.array(SPLITS)[
            pc.index_in(pc.fill_null(rows.splits["split"], "test"), value_set=pa.array(SPLITS))
        ],
        group=rank_names(rows.splits["group"]),
        recording=rank_names(rows.splits["recording"]),
        columns={name: rows.clips[name].to_pylist() for name in rows.clips.column_names},
        seconds=windows.usable_seconds(audio_seconds, video_seconds),
        times=_frame_times(rows.video),
        audio=audio_arrays,
        video=video_arrays,
        windows=windows,
        digest=rows.digest(),
        features=features,
        features_digest=features_digest,
        sides=sides,
    )


def _open_arrays(folder: Path, index: pa.Table, empty: tuple[int, ...]) -> ClipArrays | np.ndarray:
    """Return the arrays that a stage computed for clips, (n, ...).

    folder: its output. index: the rows of the clips in its index. empty: the shape if no clip has an array.
    """
    if index["row"].null_count < len(index):
        return ClipArrays.from_index(folder, index)
    return np.empty((len(index), *empty), np.uint8)


def _frame_times(video_index: pa.Table) -> np.ndarray:
    """Return the times of the frames of each clip, (n, frames) s; NaN for a clip without a picture."""
    times = video_index["times"]
    has_picture = pc.is_valid(times).to_numpy()
    values = pc.list_flatten(times).to_numpy()
    frame_times = np.full((len(times), len(values) // max(has_picture.sum(), 1)), np.nan)
    frame_times[has_picture] = values.reshape(has_picture.sum(), frame_times.shape[1])
    return frame_times


def _load_features(
    folder: Path, clip_id: pa.ChunkedArray, sides: tuple[str, ...]
) -> tuple[dict[str, ClipArrays], str]:
    """Return side -> the features of towers of these clips, and a hash of their content.

    sides: those to load. Sides without towers are left out. Raises UserError if the features of a clip are
    missing.
    """
    features: dict[str, ClipArrays] = {}
    digests = []
    for side, name in FEATURE_FOLDERS.items():
        if side not in sides or not (folder / name / INDEX).exists():
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


def _as_strings(value) -> list[str]:
    """Return a cell of the clip table as a list of strings; a missing or empty value is an empty list."""
    if value is None or value == "":
        return []
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]
