"""The modules of the task, encoders, loss and matcher that a configuration names. Imports none of them."""

from collections.abc import Mapping
from typing import Any

from models import audio, joint, losses, matchers, tasks, video
from models.registry import Registry

SEPARATE = {"audio_encoder": audio.encoders, "video_encoder": video.encoders}
JOINT = {"encoder": joint.encoders}
OTHERS = {"task": tasks.tasks, "loss": losses.losses, "matcher": matchers.matchers}


def component_modules(config: Mapping[str, Any]) -> list[str]:
    """List the modules of the components that `config` names: an Experiment's fields, or config.json.

    A task has keys of those components alone that it uses (models/tasks/_experiment.py). With an encoder of
    both modalities, those of one modality are not in use.
    """
    registries: dict[str, Registry] = OTHERS | (JOINT if config.get("encoder") else SEPARATE)
    return [registry.module(config[key]) for key, registry in registries.items() if config.get(key)]
