"""Earsight's models in Python: `load` finds one anywhere, and it is asked with files.

from earsight import load
load("user/bells").embed("bell.wav")["audio"]  # (dim,)
"""

from models.sharing.load import load
from models.version import VERSION as __version__

__all__ = ["__version__", "load"]
