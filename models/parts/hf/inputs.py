"""What networks of `transformers` get of sound: their feature extractors, in PyTorch.

Each is driven by the values of the model's own configuration. They equal those of `transformers`, and run on
batches, on a GPU, and in an ONNX export.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.parts.hf.files import import_transformers, quiet
from models.parts.hf.log_mel import LogMel
from pipeline.errors import UserError
from pipeline.media.features.filter_banks import kaldi_bank
from pipeline.media.features.scipy_features import KALDI_EPSILON, KALDI_PREEMPHASIS

KALDI_WINDOW, KALDI_HOP = 0.025, 0.01  # s: Kaldi's defaults
POWER_FLOOR = 1e-10  # of CLAP and Whisper
DECIBELS = 10 / math.log(10)  # of a natural logarithm of a power
WHISPER_RANGE = 8.0  # decimal logarithms below the loudest place
NORMALIZATION_FLOOR = 1e-7  # is added to the variance


class SoundInputs(nn.Module):
    """Map samples (batch, time) to the inputs of a network.

    extractor: the feature extractor of `transformers`. sample_rate: Hz, of the samples. max_samples: what the
    network hears at most; None: any length.
    """

    max_samples: int | None = None

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.sample_rate: int = extractor.sampling_rate

    def forward(self, samples: Tensor) -> Tensor:
        """Map samples (batch, time) of -1 to 1."""
        raise NotImplementedError


class AstInputs(SoundInputs):
    """Kaldi's log mel filterbank (batch, max_length, bands), padded with zeros and normalized."""

    def __init__(self, extractor: Any) -> None:
        super().__init__(extractor)
        length, hop = (round(seconds * self.sample_rate) for seconds in (KALDI_WINDOW, KALDI_HOP))
        n_fft = 1 << (length - 1).bit_length()  # the next power of two
        filters = kaldi_bank(self.sample_rate, n_fft, extractor.num_mel_bins).toarray().T
        window = torch.hann_window(length, periodic=False, dtype=torch.float64)
        self.fbank = LogMel(
            window, hop, n_fft, filters, KALDI_EPSILON, centred=False, preemphasis=KALDI_PREEMPHASIS
        )
        self.n_frames: int = extractor.max_length
        self.max_samples = length + (self.n_frames - 1) * hop
        self.mean: float = extractor.mean if extractor.do_normalize else 0.0
        self.std: float = extractor.std if extractor.do_normalize else 0.5

    def forward(self, samples: Tensor) -> Tensor:
        frames = self.fbank(samples)[:, : self.n_frames]
        frames = F.pad(frames, (0, 0, 0, self.n_frames - frames.shape[1]))
        return (frames - self.mean) / (2 * self.std)


class WhisperInputs(SoundInputs):
    """Log mel spectrograms (batch, bands, frames) of sound that is padded to the network's length."""

    def __init__(self, extractor: Any) -> None:
        super().__init__(extractor)
        window = torch.hann_window(extractor.n_fft, dtype=torch.float64)
        self.mel = LogMel(window, extractor.hop_length, extractor.n_fft, extractor.mel_filters, POWER_FLOOR)
        self.max_samples: int = extractor.n_samples
        self.padding_value: float = extractor.padding_value

    def forward(self, samples: Tensor) -> Tensor:
        samples = samples[:, : self.max_samples]
        samples = F.pad(samples, (0, self.max_samples - samples.shape[1]), value=self.padding_value)
        log10 = self.mel(samples)[:, :-1] / math.log(10)
        loudest = log10.amax((1, 2), keepdim=True)
        return ((torch.maximum(log10, loudest - WHISPER_RANGE) + 4) / 4).transpose(1, 2)


class ClapInputs(SoundInputs):
    """Mel spectrograms in dB (batch, 1, frames, bands) of sound that is repeated to the network's length.

    Networks with fusion use further ones, which are other views of sound that is too long.
    """

    def __init__(self, extractor: Any) -> None:
        super().__init__(extractor)
        has_fusion = extractor.truncation == "fusion"
        filters = extractor.mel_filters if has_fusion else extractor.mel_filters_slaney
        length = extractor.fft_window_size
        window = torch.hann_window(length, dtype=torch.float64)
        self.mel = LogMel(window, extractor.hop_length, length, filters, POWER_FLOOR)
        self.max_samples: int = extractor.nb_max_samples
        self.padding: str = extractor.padding

    def forward(self, samples: Tensor) -> Tensor:
        samples = samples[:, : self.max_samples]
        n_times = self.max_samples // samples.shape[1]
        if self.padding == "repeat":
            samples = samples.repeat(1, n_times + 1)[:, : self.max_samples]
        elif self.padding == "repeatpad":
            samples = samples.repeat(1, n_times)
        samples = F.pad(samples, (0, self.max_samples - samples.shape[1]))
        return DECIBELS * self.mel(samples)[:, None]


class WaveInputs(SoundInputs):
    """Samples (batch, time), of mean 0 and standard deviation 1 if the network was trained so."""

    def __init__(self, extractor: Any) -> None:
        super().__init__(extractor)
        self.do_normalize: bool = extractor.do_normalize

    def forward(self, samples: Tensor) -> Tensor:
        if not self.do_normalize:
            return samples
        variance, mean = torch.var_mean(samples, dim=1, keepdim=True, correction=0)
        return (samples - mean) / (variance + NORMALIZATION_FLOOR).sqrt()


class PeInputs(SoundInputs):
    """Samples (batch, 1, time), padded by reflection to whole steps of the network's codec."""

    def __init__(self, extractor: Any) -> None:
        super().__init__(extractor)
        self.hop_length: int = extractor.hop_length

    def forward(self, samples: Tensor) -> Tensor:
        return F.pad(samples[:, None], (0, -samples.shape[1] % self.hop_length), mode="reflect")


# The class of `transformers` -> that of this module.
INPUTS: dict[str, type[SoundInputs]] = {
    "ASTFeatureExtractor": AstInputs,
    "ClapFeatureExtractor": ClapInputs,
    "PeAudioFeatureExtractor": PeInputs,
    "Wav2Vec2FeatureExtractor": WaveInputs,
    "WhisperFeatureExtractor": WhisperInputs,
}


def make_sound_inputs(name: str, preprocessor: dict[str, Any]) -> SoundInputs:
    """Create what makes the inputs of a network out of samples.

    name: `hf/...`, for messages. preprocessor: the configuration of its feature extractor.
    Raises UserError for a feature extractor of another kind.
    """
    kind = preprocessor.get("feature_extractor_type", "")
    if kind not in INPUTS:
        kinds = ", ".join(INPUTS)
        raise UserError(f"{name}: its feature extractor is {kind or 'unknown'}; here there are {kinds}")
    extractor_class = getattr(import_transformers(), kind)
    with quiet():
        return INPUTS[kind](extractor_class.from_dict(preprocessor))
