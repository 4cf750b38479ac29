"""Models of any kind that were never trained."""

from dataclasses import asdict

import torch

from models import checkpoint
from models.checkpoint import Model
from models.training.experiment import inputs
from testing import toy


def built(audio_shape=(1, 16, 20), video_shape=(1, 32, 32, 3), sizes=None, **changes) -> Model:
    """A model that was never trained. sizes: of audio, video and joint encoder."""
    tried = toy.experiment(encoders={"audio": {}, "video": {}, "joint": {}} | (sizes or {}), **changes)
    config = asdict(tried) | {
        "train": toy.settings().model_dump(),
        "inputs": inputs(toy.PARAMS),
        "audio_shape": list(audio_shape),
        "video_shape": list(video_shape),
    }
    if "classification" in config:
        config |= {"classes": ["a", "b", "c"], "weights": None}
    if tried.encoder:
        config |= {"statistics": {"mean": -38.0, "std": 10.0}}
    torch.manual_seed(0)
    return Model(checkpoint.build(config), config)
