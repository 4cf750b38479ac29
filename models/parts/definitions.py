"""What networks of other libraries know about themselves, kept in the configuration of a saved model."""

import copy
import re
from typing import Any

from torch import nn

DEFINITION = "definition"  # an attribute of such encoders, and a keyword of their classes
ENCODER = re.compile(r"(?:^|.*\.)(audio|video)(?:\.towers\.encoders\.(\d+))?")


def add_definitions(config: dict[str, Any], module: nn.Module) -> dict[str, Any]:
    """Return a copy of config.json, in which keywords of encoders have their `definition`, if there is one.

    So the model can be built again where the files of a network are missing. config: the content of
    config.json. module: the model.
    """
    config = copy.deepcopy(config)
    for path, part in module.named_modules():
        definition = getattr(part, DEFINITION, None)
        match = ENCODER.fullmatch(path)
        if definition is None or match is None:
            continue
        side, number = match.groups()
        if number is None:
            config["encoders"][side][DEFINITION] = definition
        else:
            networks = list(config["features"][side]["towers"].values())
            networks[int(number)][DEFINITION] = definition
    return config


def without_definition(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of an encoder as users set them."""
    return {key: value for key, value in keywords.items() if key != DEFINITION}
