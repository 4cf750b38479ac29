"""Components known by name: the name is the module's, so that a new component is one new file.

Listing names reads the folder and imports nothing; only the module that is asked for is imported.
"""

import difflib
import importlib
from pathlib import Path

from pipeline.errors import UserError


class Registry:
    """The classes of one kind, a module each, in one package.

    kind: what an error calls them. package, path: `__name__` and `__path__` of the package.
    """

    def __init__(self, kind: str, package: str, path: list[str]) -> None:
        self.kind, self.package, self.folder = kind, package, Path(path[0])
        self._classes: dict[str, type] = {}

    def register(self, cls: type) -> type:
        """Class decorator: registers under the module's own name, which the class then carries as `name`."""
        cls.name = cls.__module__.rpartition(".")[2]
        self._classes[cls.name] = cls
        return cls

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(p.stem for p in self.folder.glob("*.py") if not p.stem.startswith("_")))

    def get(self, name: str) -> type:
        """The class called `name`. Raises UserError that names the nearest where there is none."""
        names = self.names()
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(f"unknown {self.kind} {name!r}: {hint}there are {', '.join(names)}")
        importlib.import_module(f"{self.package}.{name}")
        return self._classes[name]
