"""Generate files from the fields of the sections and from the classes of components.

    python -m pipeline.config.schema           # write them, after a new name, key, keyword or description
    python -m pipeline.config.schema --check   # fail if one is outdated; imports no component

pipeline/config/components.json: keywords of components (components.py). params.schema.json: the JSON schema
of params.yaml, with which editors complete and check it, without the checks across keys. The comments of
params.yaml and docs/parameters.md: documentation.py.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pipeline.config import components, documentation
from pipeline.config.components import keywords
from pipeline.config.fields import HUB_PATTERN, ROOT, component_names
from pipeline.config.params import Params
from pipeline.errors import UserError

FILE = "params.schema.json"
PARAMS = ROOT / "params.yaml"
COMMAND = "python -m pipeline.config.schema"
WIDTH = 120


def schema() -> dict[str, Any]:
    """Return the JSON schema of params.yaml (draft 7, which most editors support)."""
    with_references = Params.model_json_schema()
    content = _inline(with_references, with_references["$defs"])
    sections = content["properties"]
    sections["losses"] |= _keywords_by_name("losses")
    for kind, node in sections["encoders"]["properties"].items():
        node |= _keywords_by_name(kind)
    header = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Earsight's params.yaml"}
    content.pop("description", None)
    return header | content


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """Replace references in a node of pydantic's schema, and remove the titles that pydantic adds.

    The description of a field replaces the docstring of the section that it refers to.
    """
    if isinstance(node, list):
        return [_inline(n, definitions) for n in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]] | node
    # A `title` that is not a string is a key of params.yaml under `properties`.
    removed = {"$defs", "$ref"} | ({"title"} if isinstance(node.get("title"), str) else set())
    return {k: _inline(v, definitions) for k, v in node.items() if k not in removed}


def _keywords_by_name(kind: str) -> dict[str, Any]:
    """Return the schema of `encoders.<kind>` or `losses`: names in models/<kind> with their keywords."""
    names = component_names(kind)
    by_name: dict[str, Any] = {
        "properties": {name: _draft_7(keywords(kind, name)) for name in names},
        "additionalProperties": False,
    }
    if kind in ("audio", "video"):
        by_name["patternProperties"] = {HUB_PATTERN: _draft_7(keywords(kind, "timm/any"))}
    # A loss may be omitted if all its keywords have defaults.
    required = [name for name in names if "required" in keywords(kind, name)]
    return by_name | ({"required": required} if kind == "losses" and required else {})


def _draft_7(node: Any) -> Any:
    """Convert a schema to draft 7, in which the types of a tuple's items are called `items`."""
    if isinstance(node, list):
        return [_draft_7(n) for n in node]
    if not isinstance(node, dict):
        return node
    return {"items" if k == "prefixItems" else k: _draft_7(v) for k, v in node.items()}


def json_text(value: Any) -> str:
    """Return JSON, with each list or object on one line if it fits."""
    return _json(value) + "\n"


def _json(value: Any, indent: str = "", prefix: int = 0) -> str:
    """Return JSON without a final newline. prefix: number of characters before the value on its line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(indent) + prefix + len(line) <= WIDTH:
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        parts, brackets = [_json(v, deeper) for v in value], "[]"
    else:
        names = [f"{json.dumps(k)}: " for k in value]
        parts = [n + _json(v, deeper, len(n)) for n, v in zip(names, value.values(), strict=True)]
        brackets = "{}"
    return f"{brackets[0]}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{brackets[1]}"


def texts() -> dict[Path, str]:
    """Return the content of the files that depend on components.json and the sections."""
    params_schema = schema()
    return {
        ROOT / FILE: json_text(params_schema),
        PARAMS: documentation.with_comments(PARAMS.read_text(encoding="utf-8")),
        ROOT / documentation.PAGE: documentation.page(params_schema),
    }


def write() -> None:
    """Import all components and write all files."""
    components.FILE.write_text(json_text(components.declarations()), encoding="utf-8")
    components.clear_cache()
    for path, text in texts().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def check() -> list[str]:
    """Return a line for each file that `write` would change."""
    if outdated := components.outdated():
        path = components.FILE.relative_to(ROOT)
        return [f"{path} is not up to date ({', '.join(outdated)}): run {COMMAND}"]
    return [
        f"{path.name} is not up to date: run {COMMAND}"
        for path, text in texts().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> None:
    if arguments not in ([], ["--check"]):
        sys.exit(f"usage: {COMMAND} [--check]")
    try:
        if arguments:
            sys.exit("\n".join(check()) or 0)
        write()
    except UserError as e:
        sys.exit(f"ERROR: {e}")


if __name__ == "__main__":
    main(sys.argv[1:])
