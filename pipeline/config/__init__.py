"""The configuration: the types of the sections of params.yaml, its reader, and the reader of dvc.yaml.

- `read` reads and checks all of params.yaml; `load` returns the keys that dvc.yaml lists for a stage
- `stage_names` returns the stages of dvc.yaml, `stage_entry` the entry of one, `data_stages` those that
  write shards
- a section is a class (`data.py`, `audio.py`, `video.py`, `train.py`, `params.py`), whose fields declare
  their limits and descriptions
- the class of an encoder or a loss declares its keywords (`declarations.py`, `components.py`)
- `python -m pipeline.config.schema` writes from both the comments of params.yaml, params.schema.json and
  docs/parameters.md

Steps and models import this package under `if TYPE_CHECKING:` only: the key of a value contains the code that
a step imports, and must not change with a description.
"""

from pipeline.config.data import DataParams
from pipeline.config.fields import ROOT
from pipeline.config.params import Params
from pipeline.config.reader import View, apply_settings, load, read, read_section
from pipeline.config.stages import data_stages, stage_entry, stage_names

__all__ = [
    "ROOT",
    "DataParams",
    "Params",
    "View",
    "apply_settings",
    "data_stages",
    "load",
    "read",
    "read_section",
    "stage_entry",
    "stage_names",
]
