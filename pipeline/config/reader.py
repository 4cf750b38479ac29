"""Reads params.yaml: all of it, checked, or as far as dvc.yaml lists keys for one stage."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.fields import ROOT
from pipeline.config.messages import explain
from pipeline.config.params import Params
from pipeline.errors import UserError

S = TypeVar("S", bound=BaseModel)


class Yaml(yaml.SafeLoader):
    """YAML whose numbers may be 1e-05, as DVC writes them; PyYAML follows YAML 1.1, which wants 1.0e-05.

    Not by the C parser, as dvc.yaml is read: it crashes on lists in lists without end.
    """


Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read(path: str | Path = "params.yaml") -> Params:
    """Return all parameters, checked. Raises UserError with a line for each thing that is wrong."""
    return read_section(path, Params)


def read_section(path: str | Path, model: type[S]) -> S:
    """Return a YAML file as `model`. Raises UserError with a line for each thing that is wrong."""
    try:
        with open(path, encoding="utf-8") as f:
            values = yaml.load(f, Yaml)
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}): run from the project's root") from None
    except RecursionError:
        raise UserError(f"{path}: not YAML of parameters: lists in lists without end") from None
    except (yaml.YAMLError, ValueError) as e:  # ValueError: no UTF-8, a date that is none, an endless number
        raise UserError(f"{path}: not YAML: {' '.join(str(e).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: should be a mapping of keys to values")
    try:
        return model.model_validate(values)
    except ValidationError as e:
        raise UserError("\n".join(f"{path}: {line}" for line in explain(e, model))) from None


class View:
    """Parameters as far as one stage may read them.

    dvc.yaml lists each stage's keys, so that DVC knows what makes it stale; a key that is read without being
    listed there would make results that DVC takes for up to date. Reading one is a defect: KeyError.
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

    def listed(self) -> dict[str, Any]:
        """Return every listed key with its value, as plain data."""
        plain: dict[str, Any] = {}
        for key in self._keys:
            value: Any = self._value
            for part in key.split("."):
                value = getattr(value, part)
            plain[key] = value.model_dump() if isinstance(value, BaseModel) else value
        return plain


def load(stage: str, path: str | Path = "params.yaml", root: Path = ROOT) -> Any:
    """Return the parameters as `stage` may read them (typed as Any: it stands for a Params)."""
    return View(read(path), stage, tuple(stage_entry(stage, root).get("params", [])))


def apply_settings(params: Params, settings: dict[str, Any], where: str) -> Params:
    """Return `params` with `settings` changed. Raises UserError with a line for each thing wrong `where`."""
    try:
        return params.override(settings)
    except ValidationError as e:
        raise UserError("\n".join(f"{where}: {line}" for line in explain(e, Params))) from None
    except ValueError as e:
        raise UserError(f"{where}: {e}") from None


def stage_entry(stage: str, root: Path = ROOT) -> dict:
    """Return what dvc.yaml says of a stage, as written (templates not filled in)."""
    with open(root / "dvc.yaml", encoding="utf-8") as f:
        return yaml.load(f, yaml.CSafeLoader)["stages"][stage]
