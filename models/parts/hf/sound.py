"""Families of `transformers` for sound."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.parts.hf import files
from models.parts.hf.network import Tower
from models.parts.hf.pe import Pe


class SoundTower(Tower):
    """A network that hears sound."""

    preprocessor = "audio"


class Ast(SoundTower):
    """Audio Spectrogram Transformer (arXiv 2104.01778).

    `class` is the mean of its class token and its distillation token.
    """

    model = "ASTModel"
    poolings = ("class", "mean")
    prefix_tokens = 2


class Clap(SoundTower):
    """The audio tower of CLAP, HTSAT (arXiv 2211.06687).

    Its fusion of several views of a sound that is too long is switched off: no window is too long.
    """

    model = "ClapAudioModelWithProjection"
    section = "audio_config"
    poolings = ("projection", "mean")
    first_parameters = ("audio_model.audio_encoder.batch_norm", "audio_encoder.batch_norm")
    frozen_parameters = tuple(  # of the fusion
        f"{prefix}audio_encoder.patch_embed.{part}."
        for prefix in ("audio_model.", "")
        for part in ("fusion_model", "mel_conv2d")
    )

    def make_net(self, folder: Path | None) -> nn.Module:
        net = super().make_net(folder)
        for module in net.modules():
            if hasattr(module, "enable_fusion"):
                module.enable_fusion = False
        return net if self.pooling == "projection" else net.audio_model

    @property
    def n_features(self) -> int:
        projection, hidden = self.config.projection_dim, self.config.hidden_size
        return projection if self.pooling == "projection" else hidden

    def pool(self, outputs: Any) -> Tensor:
        return outputs.audio_embeds if self.pooling == "projection" else outputs.pooler_output


class Wav2Vec2(SoundTower):
    """wav2vec 2.0 (arXiv 2006.11477)."""

    model = "Wav2Vec2Model"
    poolings = ("mean",)
    prefix_tokens = 0
    settings = {
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
        "apply_spec_augment": False,
        "layerdrop": 0.0,
    }

    @property
    def min_inputs(self) -> int:
        """The number of samples from which the convolutions compute one vector."""
        samples = 1
        for kernel, stride in zip(self.config.conv_kernel[::-1], self.config.conv_stride[::-1], strict=True):
            samples = (samples - 1) * stride + kernel
        return samples


class Hubert(Wav2Vec2):
    """HuBERT (arXiv 2106.07447)."""

    model = "HubertModel"


class WavLM(Wav2Vec2):
    """WavLM (arXiv 2110.13900)."""

    model = "WavLMModel"


class Whisper(SoundTower):
    """The encoder of Whisper (arXiv 2212.04356)."""

    poolings = ("mean",)
    prefix_tokens = 0
    settings = {"encoder_layerdrop": 0.0, "apply_spec_augment": False}

    def make_net(self, folder: Path | None) -> nn.Module:
        transformers = files.import_transformers()
        if folder is None:
            return transformers.models.whisper.modeling_whisper.WhisperEncoder(self.config)
        return files.load_model(self.name, folder, transformers.WhisperModel, self.config).encoder


class PeAudio(Pe):
    """The audio side of PE-AV. Its codec, which reads the samples, is never trained."""

    kind = "audio"
    preprocessor = "audio"
    frozen_parameters = ("encoder.embedder.dac_encoder.", "encoder.embedder.bottleneck.")

    @property
    def min_inputs(self) -> int:
        """The number of samples of a step of the codec, which padding by reflection needs."""
        return self.config.audio_config.dac_config.hop_length


FAMILIES: dict[str, type[Tower]] = {
    "audio-spectrogram-transformer": Ast,
    "clap": Clap,
    "clap_audio_model": Clap,
    "hubert": Hubert,
    "pe_audio": PeAudio,
    "pe_audio_video": PeAudio,
    "wav2vec2": Wav2Vec2,
    "wavlm": WavLM,
    "whisper": Whisper,
}
