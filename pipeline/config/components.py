"""The keywords of encoders and losses, and the rules of tasks, read from components.json without any import.

`python -m pipeline.config.schema` imports all components and writes the file. A component that is missing in
the file, or whose declaration has changed since, is imported here, and torch with it, which is slower.

In all functions, `folder` is a folder below models/ with one component per file: audio, video, joint, losses
or tasks.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pydantic

from pipeline.config.declarations import build_type, hash_declarations, read_declaration
from pipeline.config.fields import LIBRARIES, ROOT, component_names, did_you_mean
from pipeline.config.messages import shorten

FILE = Path(__file__).with_name("components.json")
KEYWORD_FOLDERS = ("audio", "video", "joint", "losses")  # components with keywords in params.yaml
TASKS_FOLDER = "tasks"
STRICT = pydantic.ConfigDict(strict=True, allow_inf_nan=False)


@cache
def load_keywords_schema(folder: str, name: str) -> dict[str, Any]:
    """Return the JSON schema of the keywords of a component.

    name: of its file in the folder, or of a library whose networks all have the same keywords (`timm`).
    """
    return _load_entry(folder, LIBRARIES.get(name, name))["schema"]


def has_method(folder: str, name: str, method: str) -> bool:
    """Return whether an encoder has one of OPTIONAL_METHODS (pipeline/config/declarations.py).

    name: of its file in the folder, or of a network of a library (`timm/resnet18`).
    """
    library = name.partition("/")[0]
    return method in _load_entry(folder, LIBRARIES.get(library, library)).get("methods", [])


@cache
def load_task(name: str) -> dict[str, Any]:
    """Return the declarations of the task in models/tasks/<name>.py: its `rules` and its `defaults`.

    They are described in models/tasks/_base.py.
    """
    return _load_entry(TASKS_FOLDER, name)


def _load_entry(folder: str, module_name: str) -> dict[str, Any]:
    """Return the entry of a component in components.json; import the component if the entry is outdated."""
    entry = _read_file().get(folder, {}).get(module_name)
    return entry if entry and _is_current(entry) else read_declaration(folder, module_name)


def check_keywords(where: str, folder: str, name: str, values: dict[str, Any]) -> None:
    """Raise ValueError for an unknown or missing keyword of a component, or for a value that is not allowed.

    where: the key of params.yaml that holds the keywords, for messages. name: of the component. values: of
    the keywords, by their names.
    """
    schema = load_keywords_schema(folder, name)
    known_keywords = schema["properties"]
    for keyword, value in values.items():
        if keyword not in known_keywords:
            hint = did_you_mean(keyword, known_keywords)
            known_names = ", ".join(known_keywords) or "none"
            raise ValueError(f"{where}.{keyword}: unknown key for {name}; {hint}known: {known_names}")
        try:
            _keyword_type(folder, name, keyword).validate_python(value)
        except pydantic.ValidationError as e:
            message = e.errors()[0]["msg"]
            raise ValueError(
                f"{where}.{keyword}: {shorten(value)}: {message[0].lower()}{message[1:]}"
            ) from None
    for keyword in schema.get("required", []):
        if keyword not in values:
            raise ValueError(f"{where}.{keyword}: missing: {name} needs it")


@cache
def _keyword_type(folder: str, name: str, keyword: str) -> pydantic.TypeAdapter:
    """Return what validates the values of a keyword of a component."""
    schema = load_keywords_schema(folder, name)["properties"][keyword]
    return pydantic.TypeAdapter(build_type(schema), config=STRICT)


def module_names(folder: str) -> list[str]:
    """Return the names of the components in a folder; before them those of the modules for libraries."""
    modules = dict.fromkeys(LIBRARIES.values())  # without duplicates
    existing = [name for name in modules if (ROOT / "models" / folder / f"{name}.py").exists()]
    return [*existing, *component_names(folder)]


def library_names(folder: str) -> tuple[str, ...]:
    """Return the names of the libraries whose networks are components of a folder."""
    modules = module_names(folder)
    return tuple(library for library, module in LIBRARIES.items() if module in modules)


def collect_declarations() -> dict[str, dict[str, Any]]:
    """Import all components and return the content of components.json: folder -> module -> entry."""
    return {
        folder: {name: read_declaration(folder, name) for name in module_names(folder)}
        for folder in (*KEYWORD_FOLDERS, TASKS_FOLDER)
    }


def find_outdated_components() -> list[str]:
    """Return the paths of the components whose entries in components.json are outdated.

    These are new, changed and deleted components. None is imported.
    """
    existing = {
        (folder, name) for folder in (*KEYWORD_FOLDERS, TASKS_FOLDER) for name in module_names(folder)
    }
    entries = {
        (folder, name): entry
        for folder, entries_by_name in _read_file().items()
        for name, entry in entries_by_name.items()
    }
    current = {key for key, entry in entries.items() if key in existing and _is_current(entry)}
    outdated = (existing | entries.keys()) - current
    return [f"models/{folder}/{name}.py" for folder, name in sorted(outdated)]


@cache
def _read_file() -> dict[str, dict[str, Any]]:
    """Return the content of components.json: folder -> module -> entry. Empty if there is no file."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def _is_current(entry: dict[str, Any]) -> bool:
    """Return whether the files that declare a component have the hashes that its entry stores."""
    return all(
        (ROOT / file).exists() and hash_declarations(ROOT / file) == file_hash
        for file, file_hash in entry["files"].items()
    )


def clear_cache() -> None:
    """Forget components.json and everything that was read from it, so that the next access reads it again."""
    for function in (load_keywords_schema, load_task, _keyword_type, _read_file):
        function.cache_clear()
