"""Find the modules of the components that a configuration names, without importing them."""

from collections.abc import Mapping
from typing import Any

from models import audio, joint, losses, matchers, tasks, video
from models.registry import Registry

SEPARATE = {"audio_encoder": audio.encoders, "video_encoder": video.encoders}
JOINT = {"encoder": joint.encoders}
TASK_PARTS = {"task": tasks.tasks, "loss": losses.losses, "matcher": matchers.matchers}


def component_modules(config: Mapping[str, Any]) -> list[str]:
    """List the modules of the components that `config` uses: task, encoders, loss and matcher.

    config: the fields of an Experiment, or config.json. It has keys only for what its task uses
    (models/tasks/_experiment.py). An encoder of both modalities replaces those of one modality.
    """
    registries: dict[str, Registry] = TASK_PARTS | (JOINT if config.get("encoder") else SEPARATE)
    return [registry.module(config[key]) for key, registry in registries.items() if config.get(key)]
