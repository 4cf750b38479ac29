"""The section `audio`: sound and its features, with the names of librosa."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.fields import Section, one_of

LOGARITHMS = ("mel", "log_spectrogram", "log_frequency", "fbank", "cqt")  # features that uint8 can hold
FEATURES = (
    "mel",
    "stft",
    "log_spectrogram",
    "log_frequency",
    "fbank",
    "mfcc",
    "cqt",
    "pcen",
    "chroma",
    "waveform",
)
HANN_BANDWIDTH = 1.50018310546875  # of a Hann window, in bins: librosa.filters.window_bandwidth("hann")


class AudioParams(Section):
    """The section `audio` of params.yaml: the feature that audio encoders get, and the length of a window."""

    sample_rate: int = Field(ge=4000, le=192_000, description="Hz")
    feature: Annotated[str, one_of(*FEATURES)] = Field(
        description="mel, stft, log_spectrogram, log_frequency, fbank; by librosa: mfcc, cqt, pcen, chroma; "
        "waveform: the samples, which hf/<id or path> hears (docs/data.md)"
    )
    backend: Annotated[str, one_of("scipy", "librosa")] = Field(
        description="what computes the features that both have: scipy, or librosa, which is slower"
    )
    n_fft: int = Field(ge=16, le=65_536, description="samples of the Fourier transform")
    win_length: int = Field(ge=16, description="samples of an analysis window")
    hop_length: int = Field(ge=1, description="samples between two columns")
    n_mels: int = Field(ge=1, le=1024, description="mel bands (mel, fbank, mfcc, pcen)")
    n_mfcc: int = Field(ge=1, le=1024, description="coefficients (mfcc), at most n_mels")
    n_bins: int = Field(ge=1, le=1024, description="bins (cqt), upwards from fmin")
    bins_per_octave: int = Field(ge=1, le=192, description="bins of an octave (cqt)")
    n_chroma: int = Field(ge=1, le=192, description="pitch classes of an octave (chroma)")
    pcen_gain: float = Field(ge=0, le=1, description="how much a band is divided by its recent level (pcen)")
    pcen_bias: float = Field(ge=0, le=1e6, description="added before the root (pcen)")
    pcen_power: float = Field(gt=0, le=1, description="exponent of the root (pcen)")
    pcen_time_constant: float = Field(gt=0, le=60, description="s: how long a level is recent (pcen)")
    fmin: float = Field(ge=0, description="lowest frequency, Hz; cqt: above 0")
    fmax: float | None = Field(gt=0, description="highest frequency, Hz; null: half of sample_rate")
    dtype: Annotated[str, one_of("float16", "uint8")] = Field(
        description="of stored features; uint8 (mel, log_*, fbank, cqt): half the space, steps of half a dB"
    )
    window_seconds: float = Field(gt=0, description="length of a window: what a model hears at once")

    @model_validator(mode="after")
    def _check_values_fit_together(self) -> "AudioParams":
        """Raise ValueError if lengths or frequencies contradict each other."""
        nyquist = self.sample_rate / 2  # Hz, the highest frequency that the samples can hold
        if self.hop_length > self.win_length:
            raise ValueError(f"hop_length {self.hop_length} is larger than win_length {self.win_length}")
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is larger than n_fft {self.n_fft}")
        if (self.fmax or 0) > nyquist:
            raise ValueError(f"fmax {self.fmax:g} is above half of sample_rate {self.sample_rate}")
        if self.fmin >= (self.fmax or nyquist):
            raise ValueError(f"fmin {self.fmin:g} is not below fmax {self.fmax or nyquist:g}")
        if self.dtype == "uint8" and self.feature not in LOGARITHMS:
            raise ValueError(f"dtype uint8 holds logarithms, and {self.feature} has none: use float16")
        if self.feature == "mfcc" and self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc {self.n_mfcc} is larger than n_mels {self.n_mels}")
        if self.feature == "cqt":
            self._check_cqt(nyquist)
        return self

    def _check_cqt(self, nyquist: float) -> None:
        """Raise ValueError if the filters of the constant-Q transform do not lie below `nyquist` (Hz).

        librosa's rule (`librosa.filters.wavelet`): the upper half of the highest filter counts.
        """
        if self.fmin == 0:
            raise ValueError("fmin 0: the constant-Q transform (cqt) needs a lowest frequency above 0")
        ratio = 2 ** (2 / self.bins_per_octave)
        half_width = 0.5 * HANN_BANDWIDTH * (ratio - 1) / (ratio + 1)  # as a share of the centre
        top = self.fmin * 2 ** ((self.n_bins - 1) / self.bins_per_octave) * (1 + half_width)
        if top > nyquist:
            raise ValueError(
                f"n_bins {self.n_bins}: the bins of cqt reach {top:.0f} Hz, above half of sample_rate"
                f" {self.sample_rate}: use fewer, or a lower fmin"
            )
