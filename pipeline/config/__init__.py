"""The configuration: the types of the sections of params.yaml, and its reader.

`read` checks the whole file. `load` returns the keys that dvc.yaml lists for a stage. `stage_entry` returns
the entry of a stage in dvc.yaml. A section is a class (`data.py`, `audio.py`, `video.py`, `train.py`,
`params.py`) whose fields declare limits and descriptions. From them, `python -m pipeline.config.schema`
writes the comments of params.yaml, params.schema.json and docs/parameters.md. The class of an encoder or a
loss declares its keywords (`components.py`).

Steps and models import this package under `if TYPE_CHECKING:` only: the key of a value contains the code that
a step imports, and must not change with a description.
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
