"""params.schema.json: what may stand in params.yaml, for editors that complete and check as one types.

    python -m pipeline.schema

writes it anew, after a change of pipeline/params.py, of a comment in params.yaml, or of the names in models/.
What must fit other values (a window no longer than its clip) it cannot say; a run still tells.
"""

import json
import re
from pathlib import Path
from typing import Any

import pydantic
import yaml

from pipeline.params import HUB, ROOT, SETTABLE, Params, keywords, registered

FILE = "params.schema.json"
WIDTH = 120
TABLES = ("grid", "retrieval", "people_tables", "shared_encoder", "identification", "cav_mae")


def schema() -> dict[str, Any]:
    """The JSON schema (draft 7, which editors know best), described by the comments of params.yaml."""
    written = Params.model_json_schema()
    found = _inlined(written, written["$defs"])
    sections = found["properties"]
    sections["losses"] |= _named("losses")
    for kind, place in sections["encoders"]["properties"].items():
        place |= _named(kind)
    told = comments((ROOT / "params.yaml").read_text(encoding="utf-8"))
    _describe(found, told)
    for table in TABLES:
        kind = "some" if table in ("grid", "retrieval") else "all"
        _refer(sections[table]["properties"]["set"], f"{kind}_settings")
    _refer(sections["cav_mae"]["properties"]["probe"], "some_settings")
    settings = {"all_settings": _settings(sections), "some_settings": _settings(sections, SETTABLE)}
    about = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Earsight's params.yaml"}
    return about | found | {"definitions": settings}


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """A node of pydantic's schema, what it refers to in place, without the titles that pydantic makes up."""
    if isinstance(node, list):
        return [_inlined(n, definitions) for n in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]]
    # Under `properties` a `title` would be a key of params.yaml, which is a mapping and no text.
    made_up = {"$defs"} | ({"title"} if isinstance(node.get("title"), str) else set())
    return {k: _inlined(v, definitions) for k, v in node.items() if k not in made_up}


def _named(kind: str) -> dict[str, Any]:
    """What stands under `encoders.audio` or `losses`: a name of models/<kind>, and keywords of its class."""
    found: dict[str, Any] = {
        "properties": {name: _keywords(kind, name) for name in registered(kind)},
        "additionalProperties": False,
    }
    if kind in ("audio", "video"):
        found["patternProperties"] = {HUB: _keywords(kind, "timm/any")}
    # A loss whose constants all have a value of their own may be left out.
    needed = [name for name, about in found["properties"].items() if about.get("required")]
    return found | ({"required": needed} if kind == "losses" and needed else {})


def _keywords(kind: str, name: str) -> dict[str, Any]:
    known = keywords(kind, name)
    found: dict[str, Any] = {"type": "object", "additionalProperties": False}
    found["properties"] = {k: pydantic.TypeAdapter(t).json_schema() for k, (t, _) in known.items()}
    needed = [k for k, (_, is_needed) in known.items() if is_needed]
    return found | ({"required": needed} if needed else {})


def _settings(sections: dict[str, Any], allowed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Keys as `dvc exp run -S` has them (`train.epochs`), each with what it is elsewhere; () allows all."""
    properties: dict[str, Any] = {}

    def walk(node: dict[str, Any], key: str, pointer: str) -> None:
        for name, child in node.get("properties", {}).items():
            path, place = f"{key}.{name}".lstrip("."), f"{pointer}/properties/{name}"
            if not allowed or any(path == a or path.startswith(f"{a}.") for a in allowed):
                properties[path] = {"$ref": place}
            walk(child, path, place)

    walk({"properties": {k: v for k, v in sections.items() if k not in TABLES}}, "", "#")
    hubs = rf"^encoders\.(audio|video)\.{HUB.removeprefix('^')}"
    return {"properties": properties, "patternProperties": {hubs: True}, "additionalProperties": False}


def _refer(node: dict[str, Any], definition: str) -> None:
    """In draft 7 a reference of its own would hide the description beside it."""
    node.pop("additionalProperties")
    node["allOf"] = [{"$ref": f"#/definitions/{definition}"}]


def _describe(node: dict[str, Any], told: dict[str, str], key: str = "") -> None:
    """Give each key the comment that it has in params.yaml; failing that, its section's docstring stays.

    What pretraining has in common with training is explained there only.
    """
    for name, child in node.get("properties", {}).items():
        path = f"{key}.{name}".lstrip(".")
        if text := told.get(path) or told.get(path.removeprefix("pretraining.")):
            child["description"] = text
        elif "description" in child:
            child["description"] = " ".join(child["description"].split())
        _describe(child, told, path)


def comments(text: str) -> dict[str, str]:
    """key (`train.epochs`) -> the comment beside it in a YAML file, with the lines of comment that follow.

    A comment belongs to the last key of its line.
    """
    keys: dict[int, tuple[str, int]] = {}

    def walk(node: yaml.Node, path: str) -> None:
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            name = f"{path}.{key.value}".lstrip(".")
            keys[key.start_mark.line] = name, key.start_mark.column
            walk(value, name)

    walk(yaml.compose(text), "")
    lines, found = text.splitlines(), {}
    for at, (name, column) in keys.items():
        if beside := re.search(r"\s#\s*(.*)", lines[at][column:]):
            parts = [beside[1]]
            for line in lines[at + 1 :]:
                further = re.match(r"(\s+)#\s*(.*)", line)
                if not further or len(further[1]) <= column:
                    break
                parts.append(further[2])
            found[name] = " ".join(parts)
    return found


def text() -> str:
    return _json(schema()) + "\n"


def _json(value: Any, indent: str = "", used: int = 0) -> str:
    """JSON as one would write it: what fits on a line stands on one. used: characters before it there."""
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


def main(path: Path = ROOT / FILE) -> None:
    path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
