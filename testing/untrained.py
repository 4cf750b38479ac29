"""Untrained models of any kind."""

from dataclasses import asdict

import torch

from models import checkpoint
from models.checkpoint import Model
from models.training.experiment import select_input_params
from testing import toy


def build_untrained_model(
    audio_shape=(1, 16, 20), video_shape=(1, 32, 32, 3), sizes=None, **changes
) -> Model:
    """Build a model with random weights. sizes: settings of the audio, video and joint encoder."""
    trial = toy.experiment(encoders={"audio": {}, "video": {}, "joint": {}} | (sizes or {}), **changes)
    config = asdict(trial) | {
        "train": toy.settings().model_dump(),
        "inputs": select_input_params(toy.PARAMS),
        "audio_shape": list(audio_shape),
        "video_shape": list(video_shape),
    }
    if "classification" in config:
        config |= {"classes": ["a", "b", "c"], "weights": None}
    if trial.encoder:
        config |= {"statistics": {"mean": -38.0, "std": 10.0}}
    torch.manual_seed(0)
    return Model(checkpoint.build(config), config)
