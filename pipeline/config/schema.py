"""Writes what follows from the fields of the sections and from the classes of components.

    python -m pipeline.config.schema           # after a new name, key, keyword or description
    python -m pipeline.config.schema --check   # is all of it written? imports no component

pipeline/config/components.json: what components take by keyword (components.py). params.schema.json: what may
stand in params.yaml, by which editors complete and check; what must fit between values it cannot say. The
comments of params.yaml and docs/parameters.md: documentation.py.
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
    """Return the JSON schema of params.yaml (draft 7, which editors know best)."""
    written = Params.model_json_schema()
    whole = _inline(written, written["$defs"])
    sections = whole["properties"]
    sections["losses"] |= _by_name("losses")
    for kind, place in sections["encoders"]["properties"].items():
        place |= _by_name(kind)
    about = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Earsight's params.yaml"}
    whole.pop("description", None)
    return about | whole


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """Replace references in a node of pydantic's schema; drop the titles that pydantic adds.

    The description of a field counts, not the docstring of the section that it refers to.
    """
    if isinstance(node, list):
        return [_inline(n, definitions) for n in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]] | node
    # Under `properties` a `title` would be a key of params.yaml, which is a mapping and no text.
    dropped = {"$defs", "$ref"} | ({"title"} if isinstance(node.get("title"), str) else set())
    return {k: _inline(v, definitions) for k, v in node.items() if k not in dropped}


def _by_name(kind: str) -> dict[str, Any]:
    """What stands under `encoders.audio` or `losses`: a name of models/<kind>, and keywords of its class."""
    names = component_names(kind)
    by_name: dict[str, Any] = {
        "properties": {name: _draft_7(keywords(kind, name)) for name in names},
        "additionalProperties": False,
    }
    if kind in ("audio", "video"):
        by_name["patternProperties"] = {HUB_PATTERN: _draft_7(keywords(kind, "timm/any"))}
    # A loss whose keywords all have a default may be left out.
    required = [name for name in names if "required" in keywords(kind, name)]
    return by_name | ({"required": required} if kind == "losses" and required else {})


def _draft_7(node: Any) -> Any:
    """Draft 7 calls the types of a tuple's items `items`."""
    if isinstance(node, list):
        return [_draft_7(n) for n in node]
    if not isinstance(node, dict):
        return node
    return {"items" if k == "prefixItems" else k: _draft_7(v) for k, v in node.items()}


def json_text(value: Any) -> str:
    """Return JSON as one would write it: what fits on a line stands on one."""
    return _json(value) + "\n"


def _json(value: Any, indent: str = "", used: int = 0) -> str:
    """used: characters before the value on its line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(indent) + used + len(line) <= WIDTH:
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        parts, ends = [_json(v, deeper) for v in value], "[]"
    else:
        names = [f"{json.dumps(k)}: " for k in value]
        parts = [n + _json(v, deeper, len(n)) for n, v in zip(names, value.values(), strict=True)]
        ends = "{}"
    return f"{ends[0]}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{ends[1]}"


def texts() -> dict[Path, str]:
    """Return what the files that follow from components.json and the sections should hold."""
    whole = schema()
    return {
        ROOT / FILE: json_text(whole),
        PARAMS: documentation.with_comments(PARAMS.read_text(encoding="utf-8")),
        ROOT / documentation.PAGE: documentation.page(whole),
    }


def write() -> None:
    """Ask all components, and write all files."""
    components.FILE.write_text(json_text(components.declarations()), encoding="utf-8")
    components.forget()
    for path, text in texts().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def check() -> list[str]:
    """Return a line for each file that is not as `write` would write it."""
    if outdated := components.outdated():
        where = components.FILE.relative_to(ROOT)
        return [f"{where} is not up to date ({', '.join(outdated)}): run {COMMAND}"]
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
