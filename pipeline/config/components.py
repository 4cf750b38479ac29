"""What encoders and losses take by keyword, and what goes with a task: components.json, which imports none.

`python -m pipeline.config.schema` asks each class and writes the file. A component that somebody has just
added, or whose declaration has changed since, is imported and asked here: right, but torch is imported too.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pydantic

from pipeline.config.declarations import declaration, digest, value_type
from pipeline.config.fields import ROOT, component_names, did_you_mean
from pipeline.config.messages import brief

FILE = Path(__file__).with_name("components.json")
KINDS = ("audio", "video", "joint", "losses")  # whose keywords stand in params.yaml
TASKS = "tasks"
HUB = "_hub"  # the module of `timm/<name>` and `torchvision/<name>`
STRICT = pydantic.ConfigDict(strict=True, allow_inf_nan=False)


@cache
def keywords(kind: str, name: str) -> dict[str, Any]:
    """Return the JSON schema of what the class in models/<kind>/<name>.py takes by keyword."""
    return _entry(kind, HUB if "/" in name else name)["schema"]


@cache
def task(name: str) -> dict[str, Any]:
    """Return the `rules` and `defaults` of the task in models/tasks/<name>.py."""
    return _entry(TASKS, name)


def _entry(kind: str, module: str) -> dict[str, Any]:
    entry = _written().get(kind, {}).get(module)
    return entry if entry and _is_current(entry) else declaration(kind, module)


def check_keywords(where: str, kind: str, name: str, values: dict[str, Any]) -> None:
    """Raise ValueError where `values` are not what the class takes by keyword."""
    schema = keywords(kind, name)
    properties = schema["properties"]
    for key, value in values.items():
        if key not in properties:
            allowed = ", ".join(properties) or "none"
            raise ValueError(
                f"{where}.{key}: unknown key for {name}; {did_you_mean(key, properties)}known: {allowed}"
            )
        try:
            _type(kind, name, key).validate_python(value)
        except pydantic.ValidationError as e:
            message = e.errors()[0]["msg"]
            raise ValueError(f"{where}.{key}: {brief(value)}: {message[0].lower()}{message[1:]}") from None
    for key in schema.get("required", []):
        if key not in values:
            raise ValueError(f"{where}.{key}: missing: {name} needs it")


@cache
def _type(kind: str, name: str, key: str) -> pydantic.TypeAdapter:
    return pydantic.TypeAdapter(value_type(keywords(kind, name)["properties"][key]), config=STRICT)


def modules(kind: str) -> list[str]:
    """Return the names of models/<kind>, and the module of other libraries' models, if there is one."""
    has_hub = (ROOT / "models" / kind / f"{HUB}.py").exists()
    return [*([HUB] if has_hub else []), *component_names(kind)]


def declarations() -> dict[str, dict[str, Any]]:
    """Import all components and return what components.json should hold."""
    return {kind: {name: declaration(kind, name) for name in modules(kind)} for kind in (*KINDS, TASKS)}


def outdated() -> list[str]:
    """Return the components that components.json does not hold as they are, without importing any."""
    written = _written()
    here = {(kind, name) for kind in (*KINDS, TASKS) for name in modules(kind)}
    there = {(kind, name): entry for kind, entries in written.items() for name, entry in entries.items()}
    wrong = {key for key in here | there.keys() if key not in here or not _is_current(there.get(key))}
    return [f"models/{kind}/{name}.py" for kind, name in sorted(wrong)]


@cache
def _written() -> dict[str, dict[str, Any]]:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def _is_current(entry: dict[str, Any] | None) -> bool:
    return entry is not None and all(
        (ROOT / file).exists() and digest(ROOT / file) == value for file, value in entry["files"].items()
    )


def forget() -> None:
    """Read components.json again when it is next asked for."""
    for function in (keywords, task, _type, _written):
        function.cache_clear()
