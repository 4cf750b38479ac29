"""Published evaluation protocols: the field's own measures, on the field's own lists of test clips.

A protocol is a module here, known by its name (`evaluate.protocols`), with a `PROTOCOL`: an instance of a
subclass of `_base.Protocol`. It says which published list it evaluates on, what it needs of a model, and
computes its measures from arrays. `get` finds one; `_selection` chooses the clips;
models/evaluation/protocols.py gives them what a model computes. docs/protocols.md lists them.
"""

import importlib

from pipeline.metrics.protocols._base import Protocol


def get(name: str) -> Protocol:
    """Return the protocol of this name."""
    return importlib.import_module(f"{__name__}.{name}").PROTOCOL
