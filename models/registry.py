"""Registries of components: encoders, losses and so on, by name.

The name of a component is that of its module, so that a new component is one new file. To list the names, a
registry reads its folder and imports nothing. It imports a module only when its component is requested.
"""

import difflib
import importlib
import inspect
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import UserError

# Libraries of networks -> the module of a registry that stands for all of their networks, `<library>/<name>`.
LIBRARIES = {"timm": "_hub", "torchvision": "_hub", "hf": "_hf"}
Class = TypeVar("Class", bound=type)


class Registry:
    """The component classes of one kind. They are in one package, a module for each.

    kind: what the components are, for error messages, such as "audio encoder".
    package, path: `__name__` and `__path__` of the package.
    """

    def __init__(self, kind: str, package: str, path: list[str]) -> None:
        self.kind, self.package, self.folder = kind, package, Path(path[0])
        self._classes: dict[str, type] = {}  # name -> class, of the modules that are imported

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
        """Return the full name of the module of a component.

        For `timm/...` and `torchvision/...` it is the module `_hub`, for `hf/...` the module `_hf`.
        """
        return f"{self.package}.{self._library_module(name) or name}"

    def get(self, name: str) -> Any:
        """Return the class of a component; import its module if necessary.

        For a name such as `timm/...` or `hf/...` it is the class in the module of that library, if there is
        one, with its keyword `name` set.
        Raises UserError, with the most similar name, if there is no such component.
        """
        if module := self._library_module(name):
            importlib.import_module(f"{self.package}.{module}")
            return partial(self._classes[module], name=name)
        names = self.names()
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(f"unknown {self.kind} {name!r}: {hint}there are {', '.join(names)}")
        importlib.import_module(f"{self.package}.{name}")
        return self._classes[name]

    def _library_module(self, name: str) -> str | None:
        """Return the module for networks of the library that a name such as `timm/resnet18` begins with.

        Returns None for other names, and if this registry has no such module.
        """
        library, slash, _ = name.partition("/")
        module = LIBRARIES.get(library) if slash else None
        return module if module and (self.folder / f"{module}.py").exists() else None

    def make(self, name: str, *args: Any, **keywords: Any) -> Any:
        """Create an instance of a component.

        args: positional arguments of its class, such as the shape of its input. keywords: the settings of the
        user. Raises UserError for an unknown keyword, or for values that do not fit together.
        """
        cls = self.get(name)
        parameters = inspect.signature(cls).parameters.values()
        allowed = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        for keyword in keywords:
            if keyword not in allowed:
                near = difflib.get_close_matches(keyword, allowed, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise UserError(
                    f"{self.kind} {name}: unknown size {keyword!r}: {hint}there are {', '.join(allowed)}"
                )
        try:
            return cls(*args, **keywords)
        except AssertionError as e:  # PyTorch's message on sizes that do not fit together
            raise UserError(f"{self.kind} {name}: {e}") from None


def select_keywords(names: Iterable[str], keywords: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return name -> keywords of encoders: those by their name, or by that of their library.

    keywords: those under `encoders.<side>` of params.yaml.
    """
    return {name: keywords.get(name.partition("/")[0], {}) for name in names}
