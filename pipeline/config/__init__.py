"""The configuration: what params.yaml may hold, as types, and the one reader of it.

`read` checks the whole file; `load` gives a stage the keys that dvc.yaml lists for it; `stage_entry` is what
dvc.yaml says of a stage. A section is a class (`data.py`, `audio.py`, `video.py`, `train.py`, `params.py`);
its fields carry the limits and the descriptions, from which `python -m pipeline.config.schema` writes the
comments of params.yaml, params.schema.json and docs/parameters.md. What an encoder or a loss takes by
keyword its class declares (`components.py`).

Steps and models do not import this package: a value's key holds the parameters themselves, and must not
change with a description. For types alone they import it under `if TYPE_CHECKING:`.
"""

from pipeline.config.data import DataParams
from pipeline.config.fields import ROOT
from pipeline.config.params import Params
from pipeline.config.reader import View, apply_settings, load, read, read_section, stage_entry

__all__ = [
    "ROOT",
    "DataParams",
    "Params",
    "View",
    "apply_settings",
    "load",
    "read",
    "read_section",
    "stage_entry",
]
