"""What the class of a component declares: its keywords, as a JSON schema, and types made from that again.

A component (a module of models/<kind>) declares its keywords once: keyword-only arguments of `__init__`,
annotated with types that pydantic understands. A task declares instead what other keys of params.yaml must be
beside it. To ask a class means to import it, and torch with it.
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
PROSE = ("title", "description", "examples", "default")  # of a JSON schema: what checks nothing
TYPES = {"boolean": bool, "integer": int, "number": float, "string": str, "null": None}  # JSON's in Python
LIMITS = {
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
    """Import models/<kind>/<name>.py and return the schema of its keywords, and the files that declare them.

    For a task, return its `rules` and `defaults` (models/tasks/_base.py) in place of a schema.
    Raises UserError that names the keyword whose annotation cannot be written as a JSON schema.
    """
    cls = _component_class(kind, name)
    modules = {c.__module__ for c in cls.__mro__ if c.__module__.startswith(f"{PREFIX}models.")}
    files = sorted(f"{module.replace('.', '/')}.py" for module in modules)
    written: dict[str, Any] = {"files": {file: digest(ROOT / file) for file in files}}
    if kind == "tasks":
        task: Any = cls
        return written | {"rules": [list(rule) for rule in task.rules], "defaults": task.defaults}
    return written | {"schema": keywords_schema(cls)}


def _component_class(kind: str, name: str) -> type:
    try:
        module = importlib.import_module(f"{PREFIX}models.{kind}.{name}")
    except (ImportError, SyntaxError) as e:
        raise UserError(f"models/{kind}/{name}.py: cannot be imported: {e}") from None
    for value in vars(module).values():
        # Registry.register gives a class the name of its module.
        is_class = isinstance(value, type) and value.__module__ == module.__name__
        if is_class and vars(value).get("name") == name:
            return value
    raise UserError(f"models/{kind}/{name}.py: no class is registered in it")


def keywords_schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of the keyword-only arguments of a class; `name` is the registry's own."""
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
    """Return the JSON schema of an annotation, if a type made from it again checks the same."""
    name = getattr(annotation, "__name__", "") if isinstance(annotation, type) else str(annotation)
    try:
        schema = TypeAdapter(annotation).json_schema()
        same = TypeAdapter(value_type(schema)).json_schema() == _without_prose(schema)
    except (PydanticUserError, KeyError) as e:
        raise UserError(
            f"{where}: its annotation {name} is not understood: {str(e).splitlines()[0]}"
        ) from None
    if not same or _has_validator(annotation):
        raise UserError(
            f"{where}: its annotation {name} is not understood: use bool, int, float, str, list, tuple, dict,"
            " Literal, None, and limits of pydantic.Field"
        )
    return schema


def value_type(schema: dict[str, Any]) -> Any:
    """Return the type that a JSON schema stands for. Raises KeyError for a type of JSON that is not known."""
    if "anyOf" in schema:
        return Union[tuple(value_type(s) for s in schema["anyOf"])]  # noqa: UP007
    if "enum" in schema or "const" in schema:
        return Literal[tuple(schema.get("enum") or [schema["const"]])]
    if "prefixItems" in schema:
        items = tuple(value_type(s) for s in schema["prefixItems"])
        return Annotated[tuple[items], Strict(False)]  # type: ignore[valid-type]  # YAML has lists alone
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
    """Whether a function checks values of this type: JSON has no place for one."""
    metadata = getattr(annotation, "__metadata__", ())
    return any(isinstance(m, VALIDATORS) for m in metadata) or any(
        _has_validator(part) for part in typing.get_args(annotation)
    )


class _Signatures(ast.NodeTransformer):
    """Leaves of a module what may declare keywords: no body of a function, no docstring."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = []
        return node

    def visit_Expr(self, node: ast.Expr) -> None:
        return None


def digest(path: Path) -> str:
    """Hash what may declare keywords in a file of Python: not the bodies of its functions, nor comments."""
    try:
        tree = _Signatures().visit(ast.parse(path.read_text(encoding="utf-8")))
    except SyntaxError:
        return "invalid"
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]
