"""Write the descriptions of the fields as comments of params.yaml and as docs/parameters.md."""

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from pipeline.config import components
from pipeline.config.params import Params

PAGE = "docs/parameters.md"
COLUMN, WIDTH = 24, 120  # where comments begin, and the maximum line length
NARROW = 40  # characters: a comment with less space beside the value is written below it
TITLES = {
    "audio": "Audio encoders",
    "video": "Video encoders",
    "joint": "Encoders of both",
    "losses": "Losses",
}


def descriptions(model: type[BaseModel] = Params, key: str = "") -> dict[str, str]:
    """Return the description of every field: `train.epochs` -> text."""
    texts: dict[str, str] = {}
    for name, field in model.model_fields.items():
        path = f"{key}.{name}".lstrip(".")
        texts[path] = field.description or ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            texts |= descriptions(field.annotation, path)
    return texts


# --- comments -------------------------------------------------------------------------------------------


def with_comments(text: str) -> str:
    """Return the text of a params.yaml with new comments of all fields and unchanged values.

    The comment of a field is beside its value and in the lines below, indented deeper than the key. Other
    comments (the first lines, those inside `set`) are kept.
    """
    lines, texts = text.splitlines(), descriptions()
    for path, key, end in sorted(_key_positions(yaml.compose(text)), key=lambda row: -row[2].line):
        if path not in texts:
            continue
        below = end.line + 1
        while below < len(lines) and re.match(rf" {{{key.column + 1},}}#", lines[below]):
            del lines[below]
        lines[end.line : below] = _with_comment(lines[end.line][: end.column], texts[path])
    return "\n".join(lines) + "\n"


def _key_positions(node: yaml.Node, path: str = "") -> Iterator[tuple[str, yaml.Mark, yaml.Mark]]:
    """Yield for each key its path, its start, and the position after which its comment may follow."""
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        return
    for key, value in node.value:
        name = f"{path}.{key.value}".lstrip(".")
        is_block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        end = key.end_mark if is_block else value.end_mark
        if is_block:
            end = yaml.Mark(None, 0, end.line, end.column + len(":"), None, None)
        yield name, key.start_mark, end
        yield from _key_positions(value, name)


def _with_comment(line: str, text: str) -> list[str]:
    line = line.rstrip()
    if not text:
        return [line]
    column = max(COLUMN, len(line) + 1)
    if WIDTH - column < min(NARROW, len(text)):
        return [line, *(f"{'':{COLUMN}}# {part}" for part in textwrap.wrap(text, WIDTH - COLUMN - 2))]
    first, *rest = textwrap.wrap(text, WIDTH - column - 2)
    below = textwrap.wrap(" ".join(rest), WIDTH - COLUMN - 2)
    return [f"{line:{column}}# {first}", *(f"{'':{COLUMN}}# {part}" for part in below)]


# --- docs/parameters.md ---------------------------------------------------------------------------------

HEAD = """# Parameters

Every key of `params.yaml`, its values and its meaning. The defaults are in that file.
`dvc exp run -S train.epochs=20` changes a value for one run.
This page is written by `python -m pipeline.config.schema`.
"""
KEYWORDS = """## Keywords of encoders and losses

What is under `encoders` and `losses`, by a component's name: `encoders.audio.cnn_small: {width: 64}`.
A keyword without a default must be given.
"""


def page(schema: dict[str, Any]) -> str:
    """Return docs/parameters.md. schema: of params.yaml (schema.py)."""
    parts = [HEAD]
    rows = list(_rows(Params, schema))
    parts.append(_table(row for row in rows if "." not in row[0] and row[1]))
    for section, allowed, text in rows:
        if "." not in section and not allowed:
            section_rows = (row for row in rows if row[0].startswith(f"{section}."))
            parts += [f"## {section}\n", f"{text[0].upper()}{text[1:]}.\n", _table(section_rows)]
    parts.append(KEYWORDS)
    for kind in components.KINDS:
        parts += [f"### {TITLES[kind]}\n", _keywords_table(kind)]
    return "\n".join(parts)


def _rows(model: type[BaseModel], node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, allowed values and description of each field; a nested section has no values."""
    for name, field in model.model_fields.items():
        key, child = f"{prefix}.{name}".lstrip("."), node["properties"][name]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield key, "", child["description"]
            yield from _rows(field.annotation, child, key)
        else:
            yield key, values(child), child["description"]


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = ["| key | values | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{key}` | {allowed} | {text.replace('<', chr(92) + '<')} |" for key, allowed, text in rows]
    return "\n".join(lines) + "\n"


def _keywords_table(kind: str) -> str:
    lines = ["| name | keyword | values | default |", "| --- | --- | --- | --- |"]
    for module in components.modules(kind):
        name = "`timm/<name>`, `torchvision/<name>`" if module == components.HUB else f"`{module}`"
        keywords = components.keywords(kind, module)["properties"]
        for key, node in keywords.items():
            default = f"`{yaml_value(node['default'])}`" if "default" in node else ""
            lines.append(f"| {name} | `{key}` | {values(node)} | {default} |")
        if not keywords:
            lines.append(f"| {name} | none | | |")
    return "\n".join(lines) + "\n"


def yaml_value(value: Any) -> str:
    """Return a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def values(node: dict[str, Any]) -> str:
    """Return the values that a JSON schema allows, in words."""
    if "anyOf" in node:
        return " or ".join(values(n) for n in node["anyOf"])
    if "enum" in node or "const" in node:
        return ", ".join(f"`{yaml_value(v)}`" for v in node.get("enum") or [node["const"]])
    match node.get("type"):
        case "boolean":
            return "`true`, `false`"
        case "null":
            return "`null`"
        case "string":
            return "`timm/<name>`, `torchvision/<name>`" if "pattern" in node else "text"
        case "array":
            items = node.get("items") or node["prefixItems"]
            words = values(items) if isinstance(items, dict) else ", ".join(map(values, items))
            return f"list of {_count(node)}{words}"
        case "object":
            return "keys and values"
        case kind:
            return f"{kind}{_limits(node)}"


def _count(node: dict[str, Any]) -> str:
    minimum, maximum = node.get("minItems"), node.get("maxItems")
    return f"{minimum}: " if minimum and minimum == maximum else ""


def _limits(node: dict[str, Any]) -> str:
    words = (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    )
    return "".join(f" {word} {node[key]:,}" for key, word in words if key in node)
