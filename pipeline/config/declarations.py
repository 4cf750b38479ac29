"""Read what the class of a component declares for params.yaml.

A component is a file in a folder of models/: audio, video, joint, losses or tasks. An encoder or a loss
declares its keywords as keyword-only arguments of `__init__`, with annotations that pydantic understands.
`read_declaration` turns them into a JSON schema, and `build_type` turns the schema into types that validate
values. A task declares instead which values of other keys in params.yaml it needs. Reading a declaration
imports the class, and torch with it.
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

FUNCTION_VALIDATORS = (AfterValidator, BeforeValidator, PlainValidator, WrapValidator)
# Keyword-only arguments that users do not set: the name of a network, what a saved model knows about it, and
# what the sound is that it hears.
RESERVED = ("name", "definition", "feature", "sample_rate")
# Methods that only some encoders have, and settings of a training need.
OPTIONAL_METHODS = ("layer_groups", "set_gradient_checkpointing")
# Keys of a JSON schema that do not restrict the values.
DESCRIPTIVE_KEYS = ("title", "description", "examples", "default")
# Type in a JSON schema -> type in Python.
TYPES = {"boolean": bool, "integer": int, "number": float, "string": str, "null": None}
LIMITS = {  # key of a JSON schema -> argument of pydantic.Field
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


def read_declaration(folder: str, name: str) -> dict[str, Any]:
    """Import the component models/<folder>/<name>.py. Return its entry for components.json.

    `files`: the path of each file that declares the class or one of its base classes, with a hash.
    `schema`: the JSON schema of its keywords. `methods`: those of OPTIONAL_METHODS that it has, if any. For a
    task, `rules` and `defaults` (described in models/tasks/_base.py) instead.
    Raises UserError for a keyword whose annotation has no JSON schema.
    """
    cls: Any = _import_component(folder, name)
    modules = {base.__module__ for base in cls.__mro__ if base.__module__.startswith(f"{PREFIX}models.")}
    files = sorted(f"{module.replace('.', '/')}.py" for module in modules)
    entry: dict[str, Any] = {"files": {file: hash_declarations(ROOT / file) for file in files}}
    if folder == "tasks":
        return entry | {"rules": [list(rule) for rule in cls.rules], "defaults": cls.defaults}
    methods = [method for method in OPTIONAL_METHODS if hasattr(cls, method)]
    return entry | {"schema": build_keywords_schema(cls)} | ({"methods": methods} if methods else {})


def _import_component(folder: str, name: str) -> type:
    """Import models/<folder>/<name>.py. Return the class that is registered in it."""
    try:
        module = importlib.import_module(f"{PREFIX}models.{folder}.{name}")
    except (ImportError, SyntaxError) as e:
        raise UserError(f"models/{folder}/{name}.py: cannot be imported: {e}") from None
    for value in vars(module).values():
        is_own_class = isinstance(value, type) and value.__module__ == module.__name__
        # Registry.register sets the attribute `name` of a class to the name of its module.
        if is_own_class and vars(value).get("name") == name:
            return value
    raise UserError(f"models/{folder}/{name}.py: no class is registered in it")


def build_keywords_schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of the keyword-only arguments of a class, with their defaults.

    Those in RESERVED are left out. Raises UserError for an argument without an annotation, or with one that
    has no JSON schema.
    """
    keywords = [
        parameter
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in RESERVED
    ]
    annotations = _read_annotations(cls) if keywords else {}
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    required = []
    for keyword in keywords:
        where = f"{cls.__module__.replace('.', '/')}.py: {cls.__name__}: keyword {keyword.name}"
        if keyword.name not in annotations:
            raise UserError(f"{where} has no annotation")
        value_schema = _build_value_schema(annotations[keyword.name], where)
        if keyword.default is keyword.empty:
            required.append(keyword.name)
        else:
            value_schema["default"] = _to_json_value(keyword.default)
        schema["properties"][keyword.name] = value_schema
    return schema | ({"required": required} if required else {})


def _to_json_value(value: Any) -> Any:
    """Return a default as JSON can represent it: a tuple as a list, an object of a class as its text."""
    return TypeAdapter(Any).dump_python(value, mode="json", fallback=str)


def _read_annotations(cls: type) -> dict[str, Any]:
    """Return the types of the arguments of `__init__` by their names, with what `Annotated` adds to them."""
    try:
        return typing.get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]
    except NameError as e:
        file = f"{cls.__module__.replace('.', '/')}.py"
        raise UserError(f"{file}: {cls.__name__}: an annotation is not understood: {e}") from None


def _build_value_schema(annotation: Any, where: str) -> dict[str, Any]:
    """Return the JSON schema of an annotation. where: names the keyword in messages.

    Raises UserError if the schema allows more values than the annotation does.
    """
    name = getattr(annotation, "__name__", "") if isinstance(annotation, type) else str(annotation)
    try:
        schema = TypeAdapter(annotation).json_schema()
        # The schema is complete if a type that is built from it has the same schema again.
        is_equivalent = TypeAdapter(build_type(schema)).json_schema() == _remove_descriptions(schema)
    except (PydanticUserError, KeyError) as e:
        raise UserError(
            f"{where}: its annotation {name} is not understood: {str(e).splitlines()[0]}"
        ) from None
    if not is_equivalent or _has_function_validator(annotation):
        raise UserError(
            f"{where}: its annotation {name} is not understood: use bool, int, float, str, list, tuple, dict,"
            " Literal, None, and limits of pydantic.Field"
        )
    return schema


def build_type(schema: dict[str, Any]) -> Any:
    """Return the type of the values that a JSON schema allows, for pydantic: `list[int] | None`.

    Raises KeyError for a schema that is not supported.
    """
    if "anyOf" in schema:
        return Union[tuple(build_type(alternative) for alternative in schema["anyOf"])]  # noqa: UP007
    if "enum" in schema or "const" in schema:
        return Literal[tuple(schema.get("enum") or [schema["const"]])]
    if "prefixItems" in schema:
        items = tuple(build_type(item) for item in schema["prefixItems"])
        return Annotated[tuple[items], Strict(False)]  # type: ignore[valid-type]  # YAML has no tuples
    base_type: Any = Any
    match schema.get("type"):
        case "array":
            base_type = list[build_type(schema["items"])]  # type: ignore[misc]
        case "object":
            values = schema["additionalProperties"]
            base_type = dict[str, Any if values is True else build_type(values)]  # type: ignore[misc]
        case str(name):
            base_type = TYPES[name]
    limits = {LIMITS[key]: limit for key, limit in schema.items() if key in LIMITS}
    return Annotated[base_type, Field(**limits)] if limits else base_type


def _remove_descriptions(node: Any) -> Any:
    """Return a copy of a JSON schema without the keys that do not restrict the values."""
    if isinstance(node, list):
        return [_remove_descriptions(item) for item in node]
    if isinstance(node, dict):
        return {
            key: _remove_descriptions(value) for key, value in node.items() if key not in DESCRIPTIVE_KEYS
        }
    return node


def _has_function_validator(annotation: Any) -> bool:
    """Return whether a function validates values of this type, which a JSON schema cannot express."""
    metadata = getattr(annotation, "__metadata__", ())
    return any(isinstance(item, FUNCTION_VALIDATORS) for item in metadata) or any(
        _has_function_validator(part) for part in typing.get_args(annotation)
    )


class _BodyRemover(ast.NodeTransformer):
    """Removes from a syntax tree what cannot declare keywords: bodies of functions, and docstrings."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = []
        return node

    def visit_Expr(self, node: ast.Expr) -> None:  # docstrings, once the bodies are gone
        return None


def hash_declarations(path: Path) -> str:
    """Return a hash of the parts of a Python file that may declare keywords: all but the bodies of functions.

    For a file with a syntax error, return `invalid`.
    """
    try:
        tree = _BodyRemover().visit(ast.parse(path.read_text(encoding="utf-8")))
    except SyntaxError:
        return "invalid"
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]
