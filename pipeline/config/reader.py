"""Read params.yaml: all of it, or the keys that dvc.yaml lists for one stage."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.fields import ROOT
from pipeline.config.messages import explain_errors
from pipeline.config.params import Params
from pipeline.config.stages import stage_entry
from pipeline.errors import UserError

SectionType = TypeVar("SectionType", bound=BaseModel)


class ParamsLoader(yaml.SafeLoader):
    """A YAML loader that reads 1e-05, as DVC writes small numbers, as a number and not as a text.

    (PyYAML follows YAML 1.1, where a number needs a point: 1.0e-05.) It does not use the C parser, which
    crashes on deeply nested lists.
    """


# The last argument: the characters with which such a number can begin.
ParamsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read(path: str | Path = "params.yaml") -> Params:
    """Return all parameters of a file. Raises UserError with a line for each error."""
    return read_section(path, Params)


def read_section(path: str | Path, model: type[SectionType]) -> SectionType:
    """Return the content of a YAML file as an object of the class `model`.

    Raises UserError with a line for each error.
    """
    try:
        with open(path, encoding="utf-8") as f:
            values = yaml.load(f, ParamsLoader)
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}): run from the project's root") from None
    except RecursionError:
        raise UserError(f"{path}: not YAML of parameters: lists are nested too deeply") from None
    except (yaml.YAMLError, ValueError) as e:  # ValueError: invalid UTF-8, dates or long integers
        raise UserError(f"{path}: not YAML: {' '.join(str(e).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: should be a mapping of keys to values")
    try:
        return model.model_validate(values)
    except ValidationError as e:
        raise UserError("\n".join(f"{path}: {line}" for line in explain_errors(e, model))) from None


class View:
    """The parameters that one stage may read.

    dvc.yaml lists the keys that each stage reads, and DVC runs the stage again when one of them changes. If a
    stage read another key, DVC would take outdated results for current ones: that is a defect of the project,
    and raises KeyError.

    section: the parameters: all of them, or one section. stage: name of the stage. keys: those that dvc.yaml
    lists, with their sections; a section stands for all its keys. section_key: the key of `section`; empty
    for all parameters.
    """

    __slots__ = ("_keys", "_section", "_section_key", "_stage")

    def __init__(self, section: BaseModel, stage: str, keys: tuple[str, ...], section_key: str = "") -> None:
        self._section = section
        self._stage = stage
        self._keys = keys
        self._section_key = section_key

    def __getattr__(self, name: str) -> Any:
        """Return the value of a key, or a View of a section if only some of its keys are listed."""
        if name.startswith("_"):  # no key: `copy` and `pickle` ask for methods with such names
            raise AttributeError(name)
        value = getattr(self._section, name)
        key = f"{self._section_key}.{name}".lstrip(".")
        if any(key == listed or key.startswith(f"{listed}.") for listed in self._keys):
            return value
        if isinstance(value, BaseModel) and any(listed.startswith(f"{key}.") for listed in self._keys):
            return View(value, self._stage, self._keys, key)
        raise KeyError(f"stage {self._stage} reads {key}, which dvc.yaml does not list for it")

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that dvc.yaml lists with their values as plain data: {"train.epochs": 20, ...}.

        Call it on the View of all parameters.
        """
        values: dict[str, Any] = {}
        for key in self._keys:
            value: Any = self._section
            for name in key.split("."):
                value = getattr(value, name)
            values[key] = value.model_dump() if isinstance(value, BaseModel) else value
        return values


def load(stage: str, path: str | Path = "params.yaml", root: Path = ROOT) -> Any:
    """Return the parameters that a stage may read: a View, which is used like a Params (hence the type Any).

    path: of params.yaml. root: the folder with dvc.yaml. Raises UserError with a line for each error.
    """
    keys = tuple(stage_entry(stage, root).get("params", []))
    return View(read(path), stage, keys)


def apply_settings(params: Params, settings: dict[str, Any], where: str) -> Params:
    """Return a copy of `params` with new values of some keys.

    settings: the new values by their keys: {"train.epochs": 20}. Raises UserError with a line for each error,
    which begins with `where`.
    """
    try:
        return params.override(settings)
    except ValidationError as e:
        raise UserError("\n".join(f"{where}: {line}" for line in explain_errors(e, Params))) from None
    except ValueError as e:
        raise UserError(f"{where}: {e}") from None
