"""Tiny models of Hugging Face `transformers` with random weights, as the folders that `hf/PATH` names."""

import contextlib
import functools
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

RATE, HOP = 16_000, 160  # of the sound that all networks for sound hear: Hz, samples in a column
SOUND_SHAPE = (1, HOP, 40)  # of a window: 0.4 s
FRAMES_SHAPE = (2, 40, 48, 3)  # of a window

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VISION = SIZES | {"image_size": 32, "patch_size": 8}
TEXT = SIZES | {"vocab_size": 20, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
WAVE = SIZES | {
    "conv_dim": (8, 8),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
CLAP = {
    "spec_size": 32,
    "num_mel_bins": 8,
    "window_size": 2,
    "hidden_size": 32,
    "patch_size": 4,
    "patch_stride": [4, 4],
    "depths": [1, 1],
    "num_hidden_layers": 2,
    "num_attention_heads": [2, 2],
    "patch_embeds_hidden_size": 16,
    "projection_dim": 8,
}
CLAP_INPUTS = {
    "feature_size": 8,
    "sampling_rate": RATE,
    "max_length_s": 1,
    "fft_window_size": 512,
    "frequency_max": 7000,
}
PE = SIZES | {"head_dim": 8, "num_hidden_layers": 1}
CODEC = {
    "model_type": "dac",
    "downsampling_ratios": [2, 4],
    "encoder_hidden_size": 4,
    "hidden_size": 8,
    "codebook_dim": 4,
    "hop_length": 8,
}
PE_TEXT = TEXT | {"model_type": "modernbert", "hidden_size": 24, "cls_token_id": 0, "sep_token_id": 1}
PE_VISION = {"architecture": "test_vit", "num_classes": 6, "model_args": {"img_size": 32}}
PICTURES = {"size": {"height": 32, "width": 32}}
CROPS = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}


def _pe_parts() -> dict[str, Any]:
    """Return the configurations of the sides of a PE-AV model."""
    video = PE | {"vision_config": PE_VISION}
    return {"text_config": PE_TEXT, "audio_config": PE | {"dac_config": CODEC}, "video_config": video}


def _pe_audio() -> PreTrainedModel:
    parts = _pe_parts()
    del parts["video_config"]
    return transformers.PeAudioModel(transformers.PeAudioConfig(**parts))


def _pe_video() -> PreTrainedModel:
    parts = _pe_parts()
    del parts["audio_config"]
    return transformers.PeVideoModel(transformers.PeVideoConfig(**parts))


def _pe_audio_video() -> PreTrainedModel:
    parts = _pe_parts()
    text = parts.pop("text_config")
    config = transformers.PeAudioVideoConfig(text_config=text, audio_video_config=PE | parts)
    return transformers.PeAudioVideoModel(config)


def _make(name: str, **sizes: Any) -> Callable[[], PreTrainedModel]:
    """Return a function that creates a model. name: of its class, without `Model` or `Config`."""

    def make() -> PreTrainedModel:
        config = getattr(transformers, f"{name}Config")(**sizes)
        return getattr(transformers, f"{name}Model")(config)

    return make


def _make_pair(name: str, text: str, side: str, **sizes: Any) -> Callable[[], PreTrainedModel]:
    """Return a function that creates a model of text and another side, whose sizes are `sizes`."""

    def make() -> PreTrainedModel:
        text_config = TEXT | {"projection_dim": 8} if text else {}
        parts = {"text_config": text_config, f"{side}_config": sizes, "projection_dim": 8}
        if name.startswith("Siglip"):
            del parts["projection_dim"]
            parts["text_config"] = TEXT | {"projection_size": 16}
        return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**parts))

    return make


# Family -> a function that creates the model, and the class and the settings of its preprocessing.
SOUND: dict[str, tuple[Callable[[], PreTrainedModel], str, dict[str, Any]]] = {
    "ast": (
        _make(
            "AST", **SIZES, patch_size=8, frequency_stride=8, time_stride=8, max_length=48, num_mel_bins=16
        ),
        "ASTFeatureExtractor",
        {"max_length": 48, "num_mel_bins": 16},
    ),
    "clap": (
        _make_pair("Clap", "text", "audio", **CLAP),
        "ClapFeatureExtractor",
        CLAP_INPUTS | {"truncation": "rand_trunc"},
    ),
    "clap_fused": (
        _make_pair("Clap", "text", "audio", **CLAP, enable_fusion=True, aff_block_r=2),
        "ClapFeatureExtractor",
        CLAP_INPUTS | {"truncation": "fusion"},
    ),
    "hubert": (_make("Hubert", **WAVE), "Wav2Vec2FeatureExtractor", {}),
    "pe_audio": (_pe_audio, "PeAudioFeatureExtractor", {"sampling_rate": RATE, "hop_length": 8}),
    "wav2vec2": (_make("Wav2Vec2", **WAVE), "Wav2Vec2FeatureExtractor", {"do_normalize": False}),
    "wavlm": (_make("WavLM", **WAVE), "Wav2Vec2FeatureExtractor", {}),
    "whisper": (
        _make(
            "Whisper",
            d_model=16,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=32,
            num_mel_bins=16,
            max_source_positions=50,
            vocab_size=20,
            **{key: value for key, value in TEXT.items() if key.endswith("token_id")},
            decoder_start_token_id=0,
        ),
        "WhisperFeatureExtractor",
        {"feature_size": 16, "chunk_length": 1},
    ),
}
PICTURE: dict[str, tuple[Callable[[], PreTrainedModel], str, dict[str, Any]]] = {
    "clip": (_make_pair("CLIP", "text", "vision", **VISION, projection_dim=8), "CLIPImageProcessor", CROPS),
    "dinov2": (_make("Dinov2", **VISION), "BitImageProcessor", CROPS),
    "dinov2_registers": (_make("Dinov2WithRegisters", **VISION), "BitImageProcessor", CROPS),
    "dinov3": (_make("DINOv3ViT", **VISION, num_register_tokens=2), "DINOv3ViTImageProcessor", PICTURES),
    "dinov3_convnext": (
        _make("DINOv3ConvNext", hidden_sizes=[8, 16], depths=[1, 1]),
        "DINOv3ViTImageProcessor",
        PICTURES,
    ),
    "pe_video": (
        _pe_video,
        "PeVideoVideoProcessor",
        PICTURES
        | {"do_resize": True, "do_rescale": True, "do_normalize": True}
        | {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]},
    ),
    "siglip": (_make_pair("Siglip", "text", "vision", **VISION), "SiglipImageProcessor", PICTURES),
    "siglip2": (
        _make_pair("Siglip2", "text", "vision", **SIZES, patch_size=8, num_patches=16),
        "Siglip2ImageProcessor",
        {"patch_size": 8, "max_num_patches": 16},
    ),
    "videomae": (
        _make("VideoMAE", **VISION, num_frames=2, tubelet_size=2),
        "VideoMAEImageProcessor",
        CROPS,
    ),
    "vit": (_make("ViT", **VISION), "ViTImageProcessor", PICTURES),
    "vit_mae": (_make("ViTMAE", **VISION), "ViTImageProcessor", PICTURES),
}


@functools.cache
def make_name(family: str) -> str:
    """Return the name `hf/PATH` of a tiny model of a family, which is written once, to a temporary folder."""
    return f"hf/{write(Path(_temporary_folder().name) / family, family)}"


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory:
    """Return a folder that is deleted when this process ends."""
    return tempfile.TemporaryDirectory(prefix="earsight-hf-")


def write(folder: Path, family: str) -> Path:
    """Write a tiny model of a family to a folder, and return it. family: a key of SOUND or PICTURE."""
    make, preprocessor, settings = (SOUND | PICTURE)[family]
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # some classes print when they are created
        make().save_pretrained(folder)
    getattr(transformers, preprocessor)(**settings).save_pretrained(folder)
    return folder


def write_pe_audio_video(folder: Path) -> Path:
    """Write a tiny PE-AV model of both sides to a folder, and return it."""
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        _pe_audio_video().save_pretrained(folder)
    for family in ("pe_audio", "pe_video"):
        _, preprocessor, settings = (SOUND | PICTURE)[family]
        getattr(transformers, preprocessor)(**settings).save_pretrained(folder)
    return folder
