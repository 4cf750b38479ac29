"""The step of the stage `spectrogram`: features of sound, in librosa's and Kaldi's conventions.

All but `fbank`, `cqt` and `waveform` start from librosa's `stft(center=True, window="hann",
pad_mode="constant")`; column t, also of `cqt`, is centred at t * hop_length / sample_rate s. `fbank` is
Kaldi's, whose column t begins there. `waveform` is no spectrogram: column t has the samples from there on.
Sound is scaled to -1..1 and padded with silence up to clip_seconds.

No feature can exceed float16: |STFT| <= sum of the window = win_length / 2 <= 32,768 < 65,504, `pcen` is cut
off there, and the others are logarithms or shares.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.media.feature_ranges import BYTES
from pipeline.media.features import librosa_features, scipy_features
from pipeline.media.files import SECONDS_COLUMN
from pipeline.media.wav import read_wav
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import Outcome, failed

# audio.feature -> the parameter with the number of its rows. Others have those of the Fourier transform.
ROWS = {
    "mel": "n_mels",
    "log_frequency": "n_mels",
    "fbank": "n_mels",
    "pcen": "n_mels",
    "mfcc": "n_mfcc",
    "cqt": "n_bins",
    "chroma": "n_chroma",
    "waveform": "hop_length",
}


@dataclass(frozen=True)
class SpectrogramStep:
    """The step of the stage `spectrogram`: from a clip's WAV file to an array (channels, freq, time).

    audio: the section of params.yaml. clip_seconds: shorter sound is padded with silence to this duration.

    The array has the type `audio.dtype`. As uint8, a feature's range in BYTES is mapped to 0..255. An outcome
    has extra["seconds"], the duration of the sound without padding.
    """

    audio: Any
    clip_seconds: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, freq, time) of the feature that `audio` selects."""
        audio = self.audio
        rows = getattr(audio, ROWS[audio.feature]) if audio.feature in ROWS else 1 + audio.n_fft // 2
        n_columns = 1 + self._n_samples // audio.hop_length
        if audio.feature == "fbank":
            n_columns = max(0, 1 + (self._n_samples - audio.win_length) // audio.hop_length)
        elif audio.feature == "waveform":
            n_columns = math.ceil(self._n_samples / audio.hop_length)
        return 2 if audio.feature == "stft" else 1, rows, n_columns

    @property
    def layout(self) -> Layout:
        return Layout(Path("data/spectrogram"), Arrays(self.shape, self.audio.dtype), (SECONDS_COLUMN,))

    @property
    def _n_samples(self) -> int:
        """The number of samples of a clip, with padding."""
        return round(self.clip_seconds * self.audio.sample_rate)

    def __call__(self, clips: list[dict], values: list[bytes]) -> Iterator[Outcome]:
        """Yield the outcome of each clip. clips: rows of the clip table. values: their WAV files."""
        for _, content in zip(clips, values, strict=True):
            try:
                samples, rate = read_wav(content)
            except ValueError as e:
                yield failed("corrupt", str(e))
                continue
            if rate != self.audio.sample_rate:
                yield failed(
                    "corrupt", f"{rate} samples per second, audio.sample_rate is {self.audio.sample_rate}"
                )
                continue
            sound = samples[: self._n_samples].astype(np.float32) / 32768
            value = self.convert_dtype(self.compute_feature(sound))
            yield Outcome(value=value, extra={"seconds": len(sound) / rate})

    def convert_dtype(self, feature: np.ndarray) -> np.ndarray:
        """Convert a feature to `audio.dtype`: float16, or uint8 with the range in BYTES."""
        if self.audio.dtype == "float16":
            return np.ascontiguousarray(feature, dtype=np.float16)
        low, high = BYTES[self.audio.feature]
        return np.ascontiguousarray(((feature - low) * (255 / (high - low))).round().clip(0, 255), np.uint8)

    def compute_feature(self, sound: np.ndarray) -> np.ndarray:
        """Return the feature of a clip's sound, padded with silence: float32 (channels, freq, time).

        sound: (time,) float32 in -1..1, without padding.
        """
        if self.audio.feature == "fbank":
            sound = sound - sound.mean() if len(sound) else sound
        if function := self._librosa_function():
            padded = np.zeros(self._n_samples, np.float32)
            padded[: len(sound)] = sound
            return function(padded, self.audio).astype(np.float32)
        # All columns of silence are equal. So the padding is only long enough for one of them, which is then
        # repeated instead of computed.
        enough_samples = len(sound) + self.audio.n_fft + self.audio.hop_length
        padded = np.zeros(min(self._n_samples, enough_samples), np.float32)
        padded[: len(sound)] = sound
        computed = scipy_features.FEATURES[self.audio.feature](padded, self.audio)
        n_computed = computed.shape[-1]
        value = np.empty(self.shape, np.float32)
        value[..., :n_computed] = computed
        value[..., n_computed:] = computed[..., -1:]
        return value

    def _librosa_function(self) -> Callable[[np.ndarray, Any], np.ndarray] | None:
        """Return the function of librosa_features that computes the feature; None if SciPy does."""
        functions = librosa_features.OWN
        if self.audio.backend == "librosa":
            functions = functions | librosa_features.SHARED
        return functions.get(self.audio.feature)
