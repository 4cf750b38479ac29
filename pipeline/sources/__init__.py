"""Where clips come from. A source is a module here, with three functions:

- `clips(data)`: the clip table, from the section `data` of params.yaml;
- `stamp(clip)`: what tells that a clip's media changed though its row did not, or None;
- `fetch(clip, data)`: an Outcome whose value is what a media shard holds.
"""

import importlib
from types import ModuleType

SOURCES = ("ensemble", "folder")


def get(name: str) -> ModuleType:
    return importlib.import_module(f"pipeline.sources.{name}")
