"""Write the files that are generated from the fields of the sections and from the classes of components.

    python -m pipeline.config.schema           # write them, after a new name, key, keyword or description
    python -m pipeline.config.schema --check   # fail if one is outdated; imports no component

- pipeline/config/components.json: the keywords of components (components.py)
- params.schema.json: the JSON schema of params.yaml, with which editors complete and check it. It lacks the
  checks that involve several keys.
- the comments of params.yaml, and docs/parameters.md (documentation.py)
"""

import json
import sys
from pathlib import Path
from typing import Any

from pipeline.config import components, documentation
from pipeline.config.components import library_names, load_keywords_schema
from pipeline.config.fields import ROOT, component_names
from pipeline.config.params import Params
from pipeline.errors import UserError

SCHEMA_FILE = "params.schema.json"
PARAMS = ROOT / "params.yaml"
COMMAND = "python -m pipeline.config.schema"
MAX_LINE_LENGTH = 120  # of the JSON files


def build_params_schema() -> dict[str, Any]:
    """Return the JSON schema of params.yaml (draft 7, which most editors support)."""
    with_references = Params.model_json_schema()
    schema = _inline_references(with_references, with_references["$defs"])
    section_schemas = schema["properties"]
    section_schemas["losses"] |= _component_schemas("losses")
    for folder, encoders_schema in section_schemas["encoders"]["properties"].items():
        encoders_schema |= _component_schemas(folder)  # in place: it is a part of `schema`
    header = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Earsight's params.yaml"}
    schema.pop("description", None)  # the docstring of Params
    return header | schema


def _inline_references(node: Any, definitions: dict[str, Any]) -> Any:
    """Return a copy of a node of pydantic's schema, with definitions in place of the references to them.

    node: a dictionary, list or plain value. definitions: the schema of each section, by its name. Titles,
    which pydantic adds, are left out. The description of a field replaces the docstring of the section that
    it refers to.
    """
    if isinstance(node, list):
        return [_inline_references(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        section_name = node["$ref"].rpartition("/")[2]  # of "#/$defs/AudioParams"
        node = definitions[section_name] | node
    omitted_keys = {"$defs", "$ref"}
    if isinstance(node.get("title"), str):  # otherwise `title` is a key of params.yaml under `properties`
        omitted_keys.add("title")
    return {
        key: _inline_references(value, definitions) for key, value in node.items() if key not in omitted_keys
    }


def _component_schemas(folder: str) -> dict[str, Any]:
    """Return the schema of `losses`, or of `encoders.<folder>`: component names with their keywords.

    folder: of the components, below models/ (audio, video, joint, losses).
    """
    names = (*library_names(folder), *component_names(folder))
    schema: dict[str, Any] = {
        "properties": {name: _to_draft_7(load_keywords_schema(folder, name)) for name in names},
        "additionalProperties": False,
    }
    if folder == "losses":
        # A loss may be omitted in params.yaml if all its keywords have defaults.
        required = [name for name in names if "required" in load_keywords_schema(folder, name)]
        if required:
            schema["required"] = required
    return schema


def _to_draft_7(node: Any) -> Any:
    """Return a copy of a schema in the terms of draft 7, where a tuple's `prefixItems` are called `items`."""
    if isinstance(node, list):
        return [_to_draft_7(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {"items" if key == "prefixItems" else key: _to_draft_7(value) for key, value in node.items()}


def format_json(value: Any) -> str:
    """Return a value as the text of a JSON file, with each list or object on one line if it fits."""
    return _format_value(value) + "\n"


def _format_value(value: Any, indent: str = "", prefix_length: int = 0) -> str:
    """Return a value as JSON.

    indent: spaces at the start of its lines. prefix_length: characters before the value on its first line,
    after the indent (its key).
    """
    line = json.dumps(value, ensure_ascii=False)
    fits = len(indent) + prefix_length + len(line) <= MAX_LINE_LENGTH
    if fits or not isinstance(value, (dict, list)):
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        opening, closing = "[", "]"
        items = [_format_value(item, deeper) for item in value]
    else:
        opening, closing = "{", "}"
        items = []
        for key, item in value.items():
            prefix = f"{json.dumps(key)}: "
            items.append(prefix + _format_value(item, deeper, len(prefix)))
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(items) + f"\n{indent}{closing}"


def _render_files() -> dict[Path, str]:
    """Return the path and the new text of each generated file, except components.json.

    All of them depend on components.json and on the fields of the sections.
    """
    params_schema = build_params_schema()
    return {
        ROOT / SCHEMA_FILE: format_json(params_schema),
        PARAMS: documentation.replace_comments(PARAMS.read_text(encoding="utf-8")),
        ROOT / documentation.PAGE: documentation.render_page(params_schema),
    }


def write_files() -> None:
    """Import all components and write all generated files."""
    components.FILE.write_text(format_json(components.collect_declarations()), encoding="utf-8")
    components.clear_cache()  # the other files depend on the new components.json
    for path, text in _render_files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def find_outdated_files() -> list[str]:
    """Return a message for each file that `write_files` would change. Imports no component."""
    if outdated := components.find_outdated_components():
        path = components.FILE.relative_to(ROOT)
        return [f"{path} is not up to date ({', '.join(outdated)}): run {COMMAND}"]
    return [
        f"{path.name} is not up to date: run {COMMAND}"
        for path, text in _render_files().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> None:
    """Write the generated files; with `--check`, exit with a message for each outdated one instead."""
    if arguments not in ([], ["--check"]):
        sys.exit(f"usage: {COMMAND} [--check]")
    try:
        if arguments:
            sys.exit("\n".join(find_outdated_files()) or 0)
        write_files()
    except UserError as e:
        sys.exit(f"ERROR: {e}")


if __name__ == "__main__":
    main(sys.argv[1:])
