"""Read params.yaml: all of it, or the keys that dvc.yaml lists for one stage."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.fields import ROOT
from pipeline.config.messages import explain
from pipeline.config.params import Params
from pipeline.config.stages import stage_entry
from pipeline.errors import UserError

S = TypeVar("S", bound=BaseModel)


class Yaml(yaml.SafeLoader):
    """A YAML loader that reads 1e-05, as DVC writes it, as a number; PyYAML follows YAML 1.1 (1.0e-05).

    It does not use the C parser, which crashes on deeply nested lists.
    """


Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read(path: str | Path = "params.yaml") -> Params:
    """Return all parameters. Raise UserError with a line for each error."""
    return read_section(path, Params)


def read_section(path: str | Path, model: type[S]) -> S:
    """Return a YAML file as `model`. Raise UserError with a line for each error."""
    try:
        with open(path, encoding="utf-8") as f:
            values = yaml.load(f, Yaml)
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
        raise UserError("\n".join(f"{path}: {line}" for line in explain(e, model))) from None


class View:
    """The parameters that one stage may read.

    dvc.yaml lists the keys of each stage, so that DVC runs it again when one of them changes. If a stage read
    another key, DVC would take outdated results for current ones: reading it is a defect and raises KeyError.
    """

    __slots__ = ("_keys", "_path", "_stage", "_value")

    def __init__(self, value: BaseModel, stage: str, keys: tuple[str, ...], path: str = "") -> None:
        self._value, self._stage, self._keys, self._path = value, stage, keys, path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._value, name)
        key = f"{self._path}.{name}".lstrip(".")
        if any(key == k or key.startswith(f"{k}.") for k in self._keys):
            return value
        if isinstance(value, BaseModel) and any(k.startswith(f"{key}.") for k in self._keys):
            return View(value, self._stage, self._keys, key)
        raise KeyError(f"stage {self._stage} reads {key}, which dvc.yaml does not list for it")

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that dvc.yaml lists, with their values as plain data."""
        values: dict[str, Any] = {}
        for key in self._keys:
            value: Any = self._value
            for part in key.split("."):
                value = getattr(value, part)
            values[key] = value.model_dump() if isinstance(value, BaseModel) else value
        return values


def load(stage: str, path: str | Path = "params.yaml", root: Path = ROOT) -> Any:
    """Return the View of `stage` on the parameters (typed as Any, to be used like a Params)."""
    return View(read(path), stage, tuple(stage_entry(stage, root).get("params", [])))


def apply_settings(params: Params, settings: dict[str, Any], where: str) -> Params:
    """Return `params` with new values of keys. Raise UserError with a line, after `where`, for each error."""
    try:
        return params.override(settings)
    except ValidationError as e:
        raise UserError("\n".join(f"{where}: {line}" for line in explain(e, Params))) from None
    except ValueError as e:
        raise UserError(f"{where}: {e}") from None
