"""Registries of components. A component has the name of its module, so that a new one is one new file.

Listing names reads the folder and imports nothing; only the module of a requested component is imported.
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
    """The component classes of one kind, a module each, in one package.

    kind: the kind's name in error messages. package, path: `__name__` and `__path__` of the package.
    """

    def __init__(self, kind: str, package: str, path: list[str]) -> None:
        self.kind, self.package, self.folder = kind, package, Path(path[0])
        self._classes: dict[str, type] = {}

    def register(self, cls: Class) -> Class:
        """Register a class under the name of its module, and set that as its `name`. A class decorator."""
        name = cls.__module__.rpartition(".")[2]
        cls.name = name  # type: ignore[attr-defined]  # no base class declares it
        self._classes[name] = cls
        return cls

    def names(self) -> tuple[str, ...]:
        """List the names of all components, sorted."""
        return tuple(sorted(p.stem for p in self.folder.glob("*.py") if not p.stem.startswith("_")))

    def module(self, name: str) -> str:
        """Return the module of the class called `name`: `_hub` for `timm/...` and `torchvision/...`."""
        return f"{self.package}.{'_hub' if name.startswith(HUBS) else name}"

    def get(self, name: str) -> Any:
        """Return the class called `name`. Raises UserError with the most similar name if there is none.

        For `timm/...` and `torchvision/...` it is the class in the module `_hub`, if there is one, with its
        keyword `name` set.
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
        """Create an instance of the class called `name`. Raises UserError for an unknown keyword."""
        cls = self.get(name)
        keywords = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
        for size in sizes:
            if size not in keywords:
                near = difflib.get_close_matches(size, keywords, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise UserError(
                    f"{self.kind} {name}: unknown size {size!r}: {hint}there are {', '.join(keywords)}"
                )
        try:
            return cls(*args, **sizes)
        except AssertionError as e:  # PyTorch's message on sizes that do not fit together
            raise UserError(f"{self.kind} {name}: {e}") from None
