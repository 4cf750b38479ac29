"""Find the modules of the components that a configuration names, without importing them."""

from collections.abc import Mapping
from typing import Any

from models import audio, joint, losses, matchers, tasks, video
from models.registry import Registry

# Key of a configuration -> the registry in which its value is a name.
ENCODERS = {"audio_encoder": audio.encoders, "video_encoder": video.encoders}
JOINT_ENCODER = {"encoder": joint.encoders}  # one encoder of both modalities
OTHERS = {"task": tasks.tasks, "loss": losses.losses, "matcher": matchers.matchers}


def component_modules(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the modules of the components that `config` uses: task, encoders, loss and matcher.

    config: the content of config.json, or the fields of an Experiment (models/tasks/_experiment.py). It has
    keys only for what its task uses. An encoder of both modalities replaces those of one modality.
    """
    registries: dict[str, Registry] = OTHERS | (JOINT_ENCODER if config.get("encoder") else ENCODERS)
    return [registry.module(config[key]) for key, registry in registries.items() if config.get(key)]
