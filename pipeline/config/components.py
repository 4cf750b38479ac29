"""The keywords of encoders and losses, and the rules of tasks, read from components.json without any import.

`python -m pipeline.config.schema` imports all classes and writes the file. A component that is missing in the
file, or whose declaration has changed since, is imported here, and torch with it, which is slower.
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
KINDS = ("audio", "video", "joint", "losses")  # those with keywords in params.yaml
TASKS = "tasks"
HUB = "_hub"  # the module of `timm/<name>` and `torchvision/<name>`
STRICT = pydantic.ConfigDict(strict=True, allow_inf_nan=False)


@cache
def keywords(kind: str, name: str) -> dict[str, Any]:
    """Return the JSON schema of the keywords of the class in models/<kind>/<name>.py."""
    return _entry(kind, HUB if "/" in name else name)["schema"]


@cache
def task(name: str) -> dict[str, Any]:
    """Return the `rules` and `defaults` of the task in models/tasks/<name>.py."""
    return _entry(TASKS, name)


def _entry(kind: str, module: str) -> dict[str, Any]:
    entry = _read_file().get(kind, {}).get(module)
    return entry if entry and _is_current(entry) else declaration(kind, module)


def check_keywords(where: str, kind: str, name: str, values: dict[str, Any]) -> None:
    """Raise ValueError for a missing or unknown keyword of the class, or a bad value. where: for messages."""
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
    """Return the names in models/<kind>, and the module for models of other libraries, if there is one."""
    has_hub = (ROOT / "models" / kind / f"{HUB}.py").exists()
    return [*([HUB] if has_hub else []), *component_names(kind)]


def declarations() -> dict[str, dict[str, Any]]:
    """Import all components and return the content for components.json."""
    return {kind: {name: declaration(kind, name) for name in modules(kind)} for kind in (*KINDS, TASKS)}


def outdated() -> list[str]:
    """Return the components whose entries in components.json are outdated, without importing any."""
    names = {(kind, name) for kind in (*KINDS, TASKS) for name in modules(kind)}
    entries = {
        (kind, name): entry for kind, by_name in _read_file().items() for name, entry in by_name.items()
    }
    stale = {key for key in names | entries.keys() if key not in names or not _is_current(entries.get(key))}
    return [f"models/{kind}/{name}.py" for kind, name in sorted(stale)]


@cache
def _read_file() -> dict[str, dict[str, Any]]:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def _is_current(entry: dict[str, Any] | None) -> bool:
    return entry is not None and all(
        (ROOT / file).exists() and digest(ROOT / file) == value for file, value in entry["files"].items()
    )


def clear_cache() -> None:
    """Read components.json again at the next access."""
    for function in (keywords, task, _type, _read_file):
        function.cache_clear()
