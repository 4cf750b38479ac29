"""Read the declarations of a component's class: keywords to a JSON schema, and a JSON schema to types.

A component (a module of models/<kind>) declares its keywords once: as keyword-only arguments of `__init__`,
with annotations that pydantic understands. A task declares instead which values of other keys in params.yaml
it needs. Reading a declaration imports the class, and torch with it.
"""

import ast
import hashlib
import importlib
import inspect
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    PydanticUserError,
    Strict,
    TypeAdapter,
    WrapValidator,
)

from pipeline import PREFIX
from pipeline.config.fields import ROOT
from pipeline.errors import UserError

VALIDATORS = (AfterValidator, BeforeValidator, PlainValidator, WrapValidator)
PROSE = ("title", "description", "examples", "default")  # keys of a JSON schema that do not restrict values
TYPES = {"boolean": bool, "integer": int, "number": float, "string": str, "null": None}  # JSON -> Python
LIMITS = {  # JSON schema -> pydantic.Field
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
}


def declaration(kind: str, name: str) -> dict[str, Any]:
    """Import models/<kind>/<name>.py. Return the schema of its keywords and the digests of its files.

    For a task, return its `rules` and `defaults` (models/tasks/_base.py) in place of a schema.
    Raises UserError for a keyword whose annotation has no JSON schema.
    """
    cls = _component_class(kind, name)
    modules = {c.__module__ for c in cls.__mro__ if c.__module__.startswith(f"{PREFIX}models.")}
    files = sorted(f"{module.replace('.', '/')}.py" for module in modules)
    entry: dict[str, Any] = {"files": {file: digest(ROOT / file) for file in files}}
    if kind == "tasks":
        task: Any = cls
        return entry | {"rules": [list(rule) for rule in task.rules], "defaults": task.defaults}
    return entry | {"schema": keywords_schema(cls)}


def _component_class(kind: str, name: str) -> type:
    try:
        module = importlib.import_module(f"{PREFIX}models.{kind}.{name}")
    except (ImportError, SyntaxError) as e:
        raise UserError(f"models/{kind}/{name}.py: cannot be imported: {e}") from None
    for value in vars(module).values():
        # Registry.register sets `name` of a class to the name of its module.
        is_class = isinstance(value, type) and value.__module__ == module.__name__
        if is_class and vars(value).get("name") == name:
            return value
    raise UserError(f"models/{kind}/{name}.py: no class is registered in it")


def keywords_schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of a class's keyword-only arguments, without the registry's `name`."""
    parameters = [
        p for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name != "name"
    ]
    hints = _annotations(cls) if parameters else {}
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    for p in parameters:
        where = f"{cls.__module__.replace('.', '/')}.py: {cls.__name__}: keyword {p.name}"
        if p.name not in hints:
            raise UserError(f"{where} has no annotation")
        schema["properties"][p.name] = _value_schema(hints[p.name], where)
        if p.default is not p.empty:
            schema["properties"][p.name]["default"] = _json_value(p.default)
    required = [p.name for p in parameters if p.default is p.empty]
    return schema | ({"required": required} if required else {})


def _json_value(value: Any) -> Any:
    return TypeAdapter(Any).dump_python(value, mode="json", fallback=str)


def _annotations(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]
    except NameError as e:
        file = f"{cls.__module__.replace('.', '/')}.py"
        raise UserError(f"{file}: {cls.__name__}: an annotation is not understood: {e}") from None


def _value_schema(annotation: Any, where: str) -> dict[str, Any]:
    """Return the JSON schema of an annotation. Raise UserError if the schema loses some of its checks."""
    name = getattr(annotation, "__name__", "") if isinstance(annotation, type) else str(annotation)
    try:
        schema = TypeAdapter(annotation).json_schema()
        is_equivalent = TypeAdapter(value_type(schema)).json_schema() == _without_prose(schema)
    except (PydanticUserError, KeyError) as e:
        raise UserError(
            f"{where}: its annotation {name} is not understood: {str(e).splitlines()[0]}"
        ) from None
    if not is_equivalent or _has_validator(annotation):
        raise UserError(
            f"{where}: its annotation {name} is not understood: use bool, int, float, str, list, tuple, dict,"
            " Literal, None, and limits of pydantic.Field"
        )
    return schema


def value_type(schema: dict[str, Any]) -> Any:
    """Return the type of the values that a JSON schema allows. Raise KeyError for an unsupported schema."""
    if "anyOf" in schema:
        return Union[tuple(value_type(s) for s in schema["anyOf"])]  # noqa: UP007
    if "enum" in schema or "const" in schema:
        return Literal[tuple(schema.get("enum") or [schema["const"]])]
    if "prefixItems" in schema:
        items = tuple(value_type(s) for s in schema["prefixItems"])
        return Annotated[tuple[items], Strict(False)]  # type: ignore[valid-type]  # YAML has no tuples
    kind: Any = Any
    match schema.get("type"):
        case "array":
            kind = list[value_type(schema["items"])]  # type: ignore[misc]
        case "object":
            values = schema["additionalProperties"]
            kind = dict[str, Any if values is True else value_type(values)]  # type: ignore[misc]
        case str(name):
            kind = TYPES[name]
    limits = {LIMITS[key]: limit for key, limit in schema.items() if key in LIMITS}
    return Annotated[kind, Field(**limits)] if limits else kind


def _without_prose(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_prose(n) for n in node]
    if isinstance(node, dict):
        return {k: _without_prose(v) for k, v in node.items() if k not in PROSE}
    return node


def _has_validator(annotation: Any) -> bool:
    """Return whether a function validates values of this type: a JSON schema cannot express it."""
    metadata = getattr(annotation, "__metadata__", ())
    return any(isinstance(m, VALIDATORS) for m in metadata) or any(
        _has_validator(part) for part in typing.get_args(annotation)
    )


class _Signatures(ast.NodeTransformer):
    """Removes what cannot declare keywords from a module: bodies of functions and docstrings."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = []
        return node

    def visit_Expr(self, node: ast.Expr) -> None:
        return None


def digest(path: Path) -> str:
    """Return a hash of the parts of a Python file that may declare keywords, without functions' bodies."""
    try:
        tree = _Signatures().visit(ast.parse(path.read_text(encoding="utf-8")))
    except SyntaxError:
        return "invalid"
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]
