"""The sources of clips. `data.source` names a module (or package) here, which has three functions:

- `clips(data)` returns Clips. data: the section `data` of params.yaml;
- `stamp(clip)` returns a JSON value that changes if the clip's media change while its row does not, or None;
- `fetch(clip, data)` returns an Outcome whose value is what a media shard holds.

A source whose files may be longer than a clip has `LONG_FILES = True`: the stage `clips` cuts each row
without times into several clips (cutting.py).

A source that may download its media has four more:

- `media_key(clips, params)` returns a string that stands for the parameters that downloaded media depend on,
  or None if these clips are not downloaded;
- `collect(clips, params)` downloads the clips that no shard holds yet;
- `load(clip, data)` is called in place of `fetch`, and returns the Outcome of a clip's download;
- `finish(table, params)` is called at the end with the index of the stage.

A module without `fetch` is no source, but what sources share: `cutting` and `labels`, which change the clip
table of any source; `published`, of lists of online videos; `flv`, of what is rendered; `messages`.
"""

import importlib
from types import ModuleType
from typing import NamedTuple

import pyarrow as pa


class Clips(NamedTuple):
    """The clips of a source."""

    table: pa.Table  # the clip table
    lines: list[str]  # for the user, one for each kind of input that is not in the table, or not as expected


def get(name: str) -> ModuleType:
    """Return the module of a source. name: the value of `data.source`."""
    return importlib.import_module(f"{__name__}.{name}")
