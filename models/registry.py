"""Components known by name: the name is the module's, so that a new component is one new file.

Listing names reads the folder and imports nothing; only the module that is asked for is imported.
"""

import difflib
import importlib
import inspect
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import UserError

HUBS = ("timm/", "torchvision/")
Class = TypeVar("Class", bound=type)


class Registry:
    """The classes of one kind, a module each, in one package.

    kind: what an error calls them. package, path: `__name__` and `__path__` of the package.
    """

    def __init__(self, kind: str, package: str, path: list[str]) -> None:
        self.kind, self.package, self.folder = kind, package, Path(path[0])
        self._classes: dict[str, type] = {}

    def register(self, cls: Class) -> Class:
        """Class decorator: registers under the module's own name, which the class then carries as `name`."""
        name = cls.__module__.rpartition(".")[2]
        cls.name = name  # type: ignore[attr-defined]  # its own, which no base class declares
        self._classes[name] = cls
        return cls

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(p.stem for p in self.folder.glob("*.py") if not p.stem.startswith("_")))

    def module(self, name: str) -> str:
        """The module of the class called `name`: `_hub` for `timm/...` and `torchvision/...`."""
        return f"{self.package}.{'_hub' if name.startswith(HUBS) else name}"

    def get(self, name: str) -> Any:
        """The class called `name`. Raises UserError that names the nearest where there is none.

        `timm/...` and `torchvision/...` are the class of the module `_hub`, if there is one, with that name.
        """
        if name.startswith(HUBS) and (self.folder / "_hub.py").exists():
            importlib.import_module(f"{self.package}._hub")
            return partial(self._classes["_hub"], name=name)
        names = self.names()
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(f"unknown {self.kind} {name!r}: {hint}there are {', '.join(names)}")
        importlib.import_module(f"{self.package}.{name}")
        return self._classes[name]

    def make(self, name: str, *args: Any, **sizes: Any) -> Any:
        """An instance of the class called `name`. Raises UserError where it knows no such keyword."""
        cls = self.get(name)
        known = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
        for size in sizes:
            if size not in known:
                near = difflib.get_close_matches(size, known, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                told = f"{self.kind} {name}: unknown size {size!r}: {hint}there are {', '.join(known)}"
                raise UserError(told)
        try:
            return cls(*args, **sizes)
        except AssertionError as e:  # PyTorch's own word on sizes that do not go together
            raise UserError(f"{self.kind} {name}: {e}") from None
