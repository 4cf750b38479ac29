"""Earsight's models in Python: `load` a model, then pass it files.

from earsight import load
load("user/bells").embed("bell.wav")["audio"]  # (dim,)
"""

from typing import TYPE_CHECKING, Any

from models.version import VERSION as __version__

if TYPE_CHECKING:
    from models.sharing.load import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import `load` when it is first used: it imports torch, which not all commands and workers need."""
    if name == "load":
        from models.sharing import load as module

        return module.load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
