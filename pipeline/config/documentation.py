"""Write the descriptions of the fields as comments of params.yaml and as docs/parameters.md."""

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel

from pipeline.config import components
from pipeline.config.fields import HUB_NAMES, LIBRARIES
from pipeline.config.params import Params

PAGE = "docs/parameters.md"
COMMENT_COLUMN = 24  # where comments of params.yaml begin, in characters from the start of the line
MAX_LINE_LENGTH = 120
MIN_COMMENT_WIDTH = 40  # characters: a comment with less space beside the value is written below it


def descriptions(model: type[BaseModel] = Params, section: str = "") -> dict[str, str]:
    """Return the description of every field, by its key in params.yaml: {"train.epochs": text, ...}.

    model: the class of a section. section: its key; empty for the whole file.
    """
    texts: dict[str, str] = {}
    for name, field in model.model_fields.items():
        key = f"{section}.{name}".lstrip(".")
        texts[key] = field.description or ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            texts |= descriptions(field.annotation, key)
    return texts


# --- comments of params.yaml ------------------------------------------------------------------------------


class KeyPosition(NamedTuple):
    """Where a key of params.yaml stands in the text.

    key: with its sections, as `train.epochs`. start: of the key's name. end: where its comment may follow,
    behind the value, or behind the colon if the value is an indented block. Lines and columns count from 0.
    """

    key: str
    start: yaml.Mark
    end: yaml.Mark


def replace_comments(text: str) -> str:
    """Return the text of a params.yaml with new comments of all fields, and with the same values.

    The comment of a field stands beside its value and in the lines below, indented deeper than the key. Other
    comments (the first lines, and those on keys that are no fields) are kept.
    """
    lines, texts = text.splitlines(), descriptions()
    # From the last line to the first: a comment of another length moves only the lines below it.
    positions = sorted(_key_positions(yaml.compose(text)), key=lambda position: -position.end.line)
    for key, start, end in positions:
        if key not in texts:
            continue
        next_line = end.line + 1
        is_old_comment = re.compile(rf" {{{start.column + 1},}}#").match
        while next_line < len(lines) and is_old_comment(lines[next_line]):
            del lines[next_line]
        lines[end.line : next_line] = _add_comment(lines[end.line][: end.column], texts[key])
    return "\n".join(lines) + "\n"


def _key_positions(node: yaml.Node, section: str = "") -> Iterator[KeyPosition]:
    """Yield the position of each key in a node of the parsed file, and in the sections inside it.

    section: the key of the node itself; empty for the whole file.
    """
    if not isinstance(node, yaml.MappingNode) or node.flow_style:  # flow style: {key: value} on one line
        return
    for key_node, value_node in node.value:
        key = f"{section}.{key_node.value}".lstrip(".")
        end = value_node.end_mark
        if isinstance(value_node, yaml.CollectionNode) and not value_node.flow_style:
            name_end = key_node.end_mark
            end = yaml.Mark(None, 0, name_end.line, name_end.column + len(":"), None, None)
        yield KeyPosition(key, key_node.start_mark, end)
        yield from _key_positions(value_node, key)


def _add_comment(line: str, comment: str) -> list[str]:
    """Return a line `key: value` with a comment beside it, and the lines below that continue the comment."""
    line = line.rstrip()
    if not comment:
        return [line]
    width_below = MAX_LINE_LENGTH - COMMENT_COLUMN - len("# ")
    column = max(COMMENT_COLUMN, len(line) + 1)
    if MAX_LINE_LENGTH - column < min(MIN_COMMENT_WIDTH, len(comment)):
        beside, below = line, textwrap.wrap(comment, width_below)
    else:
        first, *rest = textwrap.wrap(comment, MAX_LINE_LENGTH - column - len("# "))
        beside, below = f"{line:{column}}# {first}", textwrap.wrap(" ".join(rest), width_below)
    indent = " " * COMMENT_COLUMN
    return [beside, *(f"{indent}# {comment_line}" for comment_line in below)]


# --- docs/parameters.md -----------------------------------------------------------------------------------

PAGE_INTRODUCTION = """# Parameters

Every key of `params.yaml`, its values and its meaning. The defaults are in that file.
`dvc exp run -S train.epochs=20` changes a value for one run.
This page is written by `python -m pipeline.config.schema`.
"""
KEYWORDS_INTRODUCTION = """## Keywords of encoders and losses

What is under `encoders` and `losses`, by a component's name: `encoders.audio.cnn_small: {width: 64}`.
All networks of a library have the same keywords, which are under the name of the library:
`encoders.video.timm: {pretrained: true}`. A keyword without a default must be given.
"""
KEYWORDS_HEADINGS = {  # folder below models/ -> heading of the table of its components
    "audio": "Audio encoders",
    "video": "Video encoders",
    "joint": "Encoders of both",
    "losses": "Losses",
}


class KeyRow(NamedTuple):
    """A row of docs/parameters.md. allowed_values: in words; empty if the key is a section."""

    key: str
    allowed_values: str
    description: str


def render_page(params_schema: dict[str, Any]) -> str:
    """Return the text of docs/parameters.md.

    It has a table of the keys outside sections, a table for each section, and a table of the keywords of each
    kind of component. params_schema: the JSON schema of params.yaml.
    """
    rows = list(_key_rows(Params, params_schema))
    top_level_rows = [row for row in rows if "." not in row.key]
    parts = [PAGE_INTRODUCTION, _keys_table(row for row in top_level_rows if row.allowed_values)]
    for section, allowed_values, description in top_level_rows:
        if allowed_values:  # not a section
            continue
        parts.append(f"## {section}\n")
        parts.append(f"{description[0].upper()}{description[1:]}.\n")
        parts.append(_keys_table(row for row in rows if row.key.startswith(f"{section}.")))
    parts.append(KEYWORDS_INTRODUCTION)
    for folder in components.KEYWORD_FOLDERS:
        parts += [f"### {KEYWORDS_HEADINGS[folder]}\n", _keywords_table(folder)]
    return "\n".join(parts)


def _key_rows(model: type[BaseModel], schema: dict[str, Any], section: str = "") -> Iterator[KeyRow]:
    """Yield the row of each field of a section, and of the sections inside it.

    model: the class of the section. schema: its JSON schema. section: its key; empty for the whole file.
    """
    for name, field in model.model_fields.items():
        key, field_schema = f"{section}.{name}".lstrip("."), schema["properties"][name]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield KeyRow(key, "", field_schema["description"])
            yield from _key_rows(field.annotation, field_schema, key)
        else:
            yield KeyRow(key, describe_values(field_schema), field_schema["description"])


def _keys_table(rows: Iterable[KeyRow]) -> str:
    """Return a table of keys in Markdown. A `<` is escaped, because Markdown would read it as HTML."""
    lines = ["| key | values | meaning |", "| --- | --- | --- |"]
    for key, allowed_values, description in rows:
        meaning = description.replace("<", "\\<")
        lines.append(f"| `{key}` | {allowed_values} | {meaning} |")
    return "\n".join(lines) + "\n"


def _keywords_table(folder: str) -> str:
    """Return a table in Markdown: the keywords of all components in models/<folder>."""
    lines = ["| name | keyword | values | default |", "| --- | --- | --- | --- |"]
    for module in components.module_names(folder):
        libraries = [library for library, name in LIBRARIES.items() if name == module]
        name = ", ".join(f"`{name}`" for name in libraries or [module])
        keyword_schemas = components.load_keywords_schema(folder, module)["properties"]
        for keyword, schema in keyword_schemas.items():
            default = f"`{format_yaml(schema['default'])}`" if "default" in schema else ""
            lines.append(f"| {name} | `{keyword}` | {describe_values(schema)} | {default} |")
        if not keyword_schemas:
            lines.append(f"| {name} | none | | |")
    return "\n".join(lines) + "\n"


def format_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def describe_values(schema: dict[str, Any]) -> str:
    """Return in words which values a JSON schema allows: `integer from 1 to 20`."""
    if "anyOf" in schema:
        return " or ".join(describe_values(alternative) for alternative in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        allowed_values = schema.get("enum") or [schema["const"]]
        return ", ".join(f"`{format_yaml(value)}`" for value in allowed_values)
    match schema.get("type"):
        case "boolean":
            return "`true`, `false`"
        case "null":
            return "`null`"
        case "string":
            return ", ".join(f"`{name}`" for name in HUB_NAMES) if "pattern" in schema else "text"
        case "array":
            items = schema.get("items") or schema["prefixItems"]  # one schema for all items, or one for each
            item_schemas = [items] if isinstance(items, dict) else items
            return f"list of {_length(schema)}{', '.join(map(describe_values, item_schemas))}"
        case "object":
            return "keys and values"
        case number_type:
            return f"{number_type}{_limits(schema)}"


def _length(schema: dict[str, Any]) -> str:
    """Return the length of a list, as `2: `; an empty string if its schema allows several lengths."""
    minimum, maximum = schema.get("minItems"), schema.get("maxItems")
    return f"{minimum}: " if minimum and minimum == maximum else ""


def _limits(schema: dict[str, Any]) -> str:
    """Return the limits of a number in words, as ` from 1 below 2,000`; an empty string if it has none."""
    words = {
        "minimum": "from",
        "exclusiveMinimum": "above",
        "maximum": "to",
        "exclusiveMaximum": "below",
    }
    return "".join(f" {word} {schema[key]:,}" for key, word in words.items() if key in schema)
