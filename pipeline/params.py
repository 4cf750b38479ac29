"""The one reader of params.yaml."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EnsembleParams(Section):
    clips: int = Field(400, ge=16, le=100_000)
    broken: float = Field(0.05, ge=0, le=0.5)


class DataParams(Section):
    source: Literal["ensemble", "folder"] = "ensemble"
    folder: str = "videos"
    clip_seconds: float = Field(4.0, gt=0, le=3600)
    shard_size: int = Field(64, ge=1, le=100_000)
    ensemble: EnsembleParams = EnsembleParams()


class AudioParams(Section):
    sample_rate: int = Field(16000, ge=4000, le=192_000)
    feature: Literal["mel", "stft", "log_spectrogram", "log_frequency", "fbank"] = "mel"
    n_fft: int = Field(512, ge=16, le=65536)
    win_length: int = Field(400, ge=16)
    hop_length: int = Field(160, ge=1)
    n_mels: int = Field(64, ge=1, le=1024)
    fmin: float = Field(50.0, ge=0)
    fmax: float | None = Field(8000.0, gt=0)
    window_seconds: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _consistent(self):
        if self.hop_length > self.win_length:
            raise ValueError(f"hop_length {self.hop_length} is larger than win_length {self.win_length}")
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is larger than n_fft {self.n_fft}")
        top = self.fmax or self.sample_rate / 2
        if top > self.sample_rate / 2:
            raise ValueError(f"fmax {top} is above half of sample_rate {self.sample_rate}")
        if self.fmin >= top:
            raise ValueError(f"fmin {self.fmin} is not below fmax {top}")
        return self


class VideoParams(Section):
    frames: int = Field(8, ge=1, le=1024)
    height: int = Field(112, ge=16, le=2160)
    width: int = Field(112, ge=16, le=3840)
    window_frames: int = Field(1, ge=1)


class SplitParams(Section):
    by: Literal["video", "subject"] = "video"
    val: float = Field(0.15, ge=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)


class EngineParams(Section):
    name: Literal["local"] = "local"
    workers: int | None = Field(None, ge=1)
    timeout: float = Field(60.0, gt=0)
