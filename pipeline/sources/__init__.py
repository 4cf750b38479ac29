"""Where clips come from. A source is a module here, known by its name, with four functions:

- `clips(data)`: the clip table, from the section `data` of params.yaml;
- `notes(data, table)`: a line for each kind of thing that became no clip of this table;
- `stamp(clip)`: what tells that a clip's media changed though its row did not, or None;
- `fetch(clip, data)`: an Outcome whose value is what a media shard holds.

One that goes over the network has three more: `made_from(params)`, what its media depend on instead of the
code; `collect(clips, params)`, which brings those that no shard holds; `settle(table, params)` at the end.
"""

import importlib
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent


def get(name: str) -> ModuleType:
    return importlib.import_module(f"pipeline.sources.{name}")
