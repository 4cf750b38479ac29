"""The section `audio`: sound and its features, with the names of librosa."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.fields import Section, one_of


class AudioParams(Section):
    """The section `audio` of params.yaml: the feature that audio encoders get, and the length of a window."""

    sample_rate: int = Field(ge=4000, le=192_000, description="Hz")
    feature: Annotated[
        str, one_of("mel", "stft", "log_spectrogram", "log_frequency", "fbank", "waveform")
    ] = Field(
        description="mel, stft, log_spectrogram, log_frequency, fbank; waveform: the samples, which "
        "hf/<id or path> hears (docs/data.md)"
    )
    n_fft: int = Field(ge=16, le=65_536, description="samples of the Fourier transform")
    win_length: int = Field(ge=16, description="samples of an analysis window")
    hop_length: int = Field(ge=1, description="samples between two columns")
    n_mels: int = Field(ge=1, le=1024, description="mel bands (mel, fbank)")
    fmin: float = Field(ge=0, description="lowest frequency, Hz")
    fmax: float | None = Field(gt=0, description="highest frequency, Hz; null: half of sample_rate")
    dtype: Annotated[str, one_of("float16", "uint8")] = Field(
        description="of stored features; uint8 (not for stft and waveform): half the space, steps of about "
        "half a dB"
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
        if self.dtype == "uint8" and self.feature in ("stft", "waveform"):
            raise ValueError(f"dtype uint8 holds logarithms, and {self.feature} has none: use float16")
        return self
