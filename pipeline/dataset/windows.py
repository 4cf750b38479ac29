"""The one rule for cutting windows out of clips, in training, evaluation and serving.

A window is `window_seconds` of sound and the frames nearest to its middle. It lies in the usable part of its
clip: what follows is padding. A position, from 0 (the first window that fits) to 1 (the last), says which
window of a clip is meant: training draws positions at random, evaluation takes the middle window.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

MIDDLE = 0.5  # a position in a clip, or in a window
MISSING = np.inf  # the seconds of a sound or a picture that a clip does not have
ROUNDING = 1e-6  # columns that floating point may be off by


@dataclass(frozen=True)
class WindowRule:
    """How windows are cut from clips that are all stored alike.

    sample_rate: Hz. hop_length: samples from one spectrogram column to the next. window_frames: frames of a
    window. clip_columns: columns that are stored of each clip, padding too.
    """

    sample_rate: int
    hop_length: int
    window_seconds: float
    window_frames: int
    clip_columns: int

    @classmethod
    def of(cls, audio: Any, video: Any, clip_columns: int) -> "WindowRule":
        """The rule that the sections `audio` and `video` of the parameters give."""
        numbers = audio.sample_rate, audio.hop_length, audio.window_seconds, video.window_frames
        return cls(*numbers, clip_columns)

    @property
    def columns(self) -> int:
        """Spectrogram columns of a window."""
        columns = round(self.window_seconds * self.sample_rate / self.hop_length)
        return min(max(columns, 1), self.clip_columns)

    def usable_seconds(self, sound: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """How much of each clip is cut into windows, (n,) s. sound, picture: how long they last, (n,) s.

        A window's middle must lie in the picture. Where that is shorter than a window, sound decides; where
        one of the two is MISSING, the other does.
        """
        both = np.minimum(sound, picture)
        return np.where((picture >= self.window_seconds) | (sound == MISSING), both, sound)

    def usable_columns(self, seconds: np.ndarray) -> np.ndarray:
        """How many columns are sound and not padding, (n,), of clips with so many usable seconds."""
        # Column t is centred at t / rate: of s usable seconds, columns 0 to floor(s rate) are sound.
        rate = self.sample_rate / self.hop_length
        return np.minimum(np.floor(seconds * rate + ROUNDING).astype(int) + 1, self.clip_columns)

    def first_columns(self, seconds: np.ndarray, position: np.ndarray | float) -> np.ndarray:
        """The column at which each window begins, (n,). position: 0 to 1, (n,) or one for all."""
        last = self._last_first_column(seconds)
        return np.minimum((np.asarray(position) * (last + 1)).astype(int), last)

    def positions(self, seconds: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """The positions, (n,), of the windows that begin at `starts` (s), as near as there is one."""
        last = self._last_first_column(seconds)
        column = np.round(np.asarray(starts) * self.sample_rate / self.hop_length)
        return (np.clip(column, 0, last) + 0.5) / (last + 1)

    def start_seconds(self, first_columns: np.ndarray) -> np.ndarray:
        """When windows begin, (n,) s from the clip's start."""
        return first_columns * self.hop_length / self.sample_rate

    def frames(
        self, first_columns: np.ndarray, times: np.ndarray, frame_position: np.ndarray | float = MIDDLE
    ) -> np.ndarray:
        """The numbers of each window's frames, (n, window_frames), in order: the nearest to a moment of it.

        times: when the stored frames of each clip come on show, (n, frames) s from the clip's start.
        frame_position: the moment, 0 (the window's beginning) to 1 (its end), (n,) or one for all.
        """
        rate = self.sample_rate / self.hop_length
        moment = (first_columns + self.columns * np.asarray(frame_position)) / rate
        distance = np.abs(times - moment[:, None])
        nearest = np.argsort(distance, axis=1, kind="stable")[:, : self.window_frames]
        return np.sort(nearest, axis=1)

    def _last_first_column(self, seconds: np.ndarray) -> np.ndarray:
        return np.maximum(self.usable_columns(seconds) - self.columns, 0)
