"""The one rule for cutting windows out of clips, in training, evaluation and serving.

A window is `window_seconds` of sound and the frames nearest to its middle. It is inside the usable part of
its clip; the rest of the clip is padding. A position, from 0 (the first window that fits) to 1 (the last),
selects a window of a clip: training samples positions at random, evaluation takes the middle window.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

MIDDLE = 0.5  # a position in a clip, or in a window
MISSING = np.inf  # duration of a sound or a picture that a clip lacks
ROUNDING = 1e-6  # tolerance for floating-point errors, in columns


@dataclass(frozen=True)
class Segments:
    """How sound is divided for audio towers: segments of `columns`, one every `hop_columns`.

    Both count spectrogram columns. A window that is divided begins at a multiple of `hop_columns`.
    """

    columns: int
    hop_columns: int

    @classmethod
    def from_seconds(
        cls, segment_seconds: float | None, hop_seconds: float | None, rule: "WindowRule"
    ) -> "Segments":
        """Create the division from the keys of the section `towers`. rule: of the windows.

        segment_seconds None: a segment is a window. hop_seconds None: segments follow each other.
        """
        rate = rule.sample_rate / rule.hop_length
        columns = rule.columns if segment_seconds is None else round(segment_seconds * rate)
        columns = min(max(columns, 1), rule.columns)
        hop_columns = columns if hop_seconds is None else max(round(hop_seconds * rate), 1)
        return cls(columns, hop_columns)

    def count(self, n_columns: int) -> int:
        """Return the number of segments in `n_columns` (at least `columns`)."""
        return 1 + (n_columns - self.columns) // self.hop_columns


@dataclass(frozen=True)
class WindowRule:
    """Where windows lie in clips that are all stored with the same shape; `Dataset.read` cuts them."""

    sample_rate: int  # Hz
    hop_length: int  # samples from one spectrogram column to the next
    window_seconds: float
    window_frames: int  # frames per window
    clip_columns: int  # stored spectrogram columns per clip, including padding

    @classmethod
    def from_config(cls, audio: Any, video: Any, clip_columns: int) -> "WindowRule":
        """Create the rule from settings.

        audio, video: these sections of params.yaml. clip_columns: stored spectrogram columns per clip.
        """
        return cls(
            sample_rate=audio.sample_rate,
            hop_length=audio.hop_length,
            window_seconds=audio.window_seconds,
            window_frames=video.window_frames,
            clip_columns=clip_columns,
        )

    @property
    def columns(self) -> int:
        """Spectrogram columns per window."""
        columns = round(self.window_seconds * self.sample_rate / self.hop_length)
        return min(max(columns, 1), self.clip_columns)

    def usable_seconds(self, audio_seconds: np.ndarray, video_seconds: np.ndarray) -> np.ndarray:
        """Return the duration of the part of each clip from which windows are cut, (n,) s.

        audio_seconds, video_seconds: durations of the sound and of the picture, (n,) s. The middle of a
        window must be in the picture. If the picture is shorter than a window, the sound's duration counts;
        if one of the two is MISSING, that of the other.
        """
        shorter = np.minimum(audio_seconds, video_seconds)
        has_window = video_seconds >= self.window_seconds
        return np.where(has_window | (audio_seconds == MISSING), shorter, audio_seconds)

    def usable_columns(self, seconds: np.ndarray) -> np.ndarray:
        """Return the number of spectrogram columns that are no padding, (n,).

        seconds: usable duration of each clip, (n,) s.
        """
        # Column t is centred at t / rate: in s usable seconds, columns 0 to floor(s * rate) are sound.
        rate = self.sample_rate / self.hop_length
        return np.minimum(np.floor(seconds * rate + ROUNDING).astype(int) + 1, self.clip_columns)

    def first_columns(
        self, seconds: np.ndarray, position: np.ndarray | float, hop_columns: int = 1
    ) -> np.ndarray:
        """Return the first spectrogram column of each window, (n,).

        seconds: usable duration of each clip, (n,) s. position: of the window in its clip, 0 (the first
        window that fits) to 1 (the last), (n,) or one for all. hop_columns: each begins at a multiple of it.
        """
        last = self._last_first_column(seconds) // hop_columns
        return np.minimum((np.asarray(position) * (last + 1)).astype(int), last) * hop_columns

    def positions(self, seconds: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return the positions, (n,), of the windows whose beginnings are nearest to `starts`.

        seconds: usable duration of each clip, (n,) s or (1,). starts: (n,) s from the clip's start.
        """
        last = self._last_first_column(seconds)
        column = np.round(np.asarray(starts) * self.sample_rate / self.hop_length)
        # + 0.5: the middle of the positions that `first_columns` maps to this column
        return (np.clip(column, 0, last) + 0.5) / (last + 1)

    def start_seconds(self, first_columns: np.ndarray) -> np.ndarray:
        """Return the beginnings of windows, (n,) s from the clip's start, from their first columns (n,)."""
        return first_columns * self.hop_length / self.sample_rate

    def frames(
        self, first_columns: np.ndarray, times: np.ndarray, frame_position: np.ndarray | float = MIDDLE
    ) -> np.ndarray:
        """Return the numbers of each window's frames, (n, window_frames), in order.

        These are the frames nearest to one moment of the window. first_columns: of the windows, (n,). times:
        presentation times of the stored frames of each clip, (n, frames) s from the clip's start.
        frame_position: the moment, 0 (the window's beginning) to 1 (its end), (n,) or one for all.
        """
        rate = self.sample_rate / self.hop_length
        moment = (first_columns + self.columns * np.asarray(frame_position)) / rate
        distance = np.abs(times - moment[:, None])
        nearest = np.argsort(distance, axis=1, kind="stable")[:, : self.window_frames]
        return np.sort(nearest, axis=1)

    def _last_first_column(self, seconds: np.ndarray) -> np.ndarray:
        """Return the first column of the last window that fits into each clip, (n,)."""
        return np.maximum(self.usable_columns(seconds) - self.columns, 0)
