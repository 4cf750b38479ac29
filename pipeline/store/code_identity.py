"""What code does, as a hash: part of every clip's key and of every training's fingerprint.

The hash covers the syntax tree of each file of this project that the given code imports, directly or through
others. Comments, docstrings, formatting, annotations and the place of a file are no part of it.
"""

import ast
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.store.formats import digest

ROOT = Path(__file__).resolve().parents[2]
PREFIX = __name__.removesuffix("pipeline.store.code_identity")  # of the names of all modules of this project
IGNORED = {"annotation", "returns", "ctx", "kind", "type_comment", "type_ignores", "type_params"}
Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """module: of this project. name: what is imported from it; empty for the module itself. binding: the name
    that the importing file gives it."""

    module: str
    name: str
    binding: str


def code_digest(*code: str | type | Callable) -> str:
    """Hash the code of modules, named or those in which a class or function is defined, and of all that they
    import from this project.

    Registered components are imported by name at run time: the caller names their modules.
    Raises ValueError for a module that is not of this project.
    """
    modules = [item if isinstance(item, str) else item.__module__ for item in code]
    return digest(sorted(_hash_with_imports(module) for module in imported_modules(*modules)))


def imported_modules(*modules: str) -> set[str]:
    """The given modules of this project and all modules of it that they import, in functions too."""
    visited: set[str] = set()
    waiting = list(modules)
    while waiting:
        if (module := waiting.pop()) not in visited:
            visited.add(module)
            waiting += [item.module for item in _parse(module)[1]]
    return visited


def _hash_with_imports(module: str) -> str:
    """Another module behind an import changes the hash; the same module at another place does not."""
    tree_hash, imports = _parse(module)
    return digest(tree_hash, sorted((_parse(item.module)[0], item.name, item.binding) for item in imports))


@functools.cache
def _parse(module: str) -> tuple[str, tuple[Import, ...]]:
    """The hash of a module's own tree, without its imports from this project; and those imports."""
    path = _path(module)
    if path is None:
        raise ValueError(f"{module}: no module of this project")
    tree = ast.parse(path.read_bytes())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports: list[Import] = []
    statements = list(_simplify(tree, package, imports))
    return digest(statements), tuple(imports)


def _path(module: str) -> Path | None:
    """The file of a module of this project; None for any other module."""
    if not module.startswith(PREFIX):
        return None
    place = ROOT.joinpath(*module.removeprefix(PREFIX).split("."))
    candidates = [place.with_suffix(".py"), place / "__init__.py"]
    return next((path for path in candidates if path.is_file()), None)


def _simplify(tree: ast.AST, package: str, imports: list[Import]) -> Iterator:
    """Yield a tree's fields as nested lists, which are the same in all versions of Python.

    Imports from this project are appended to `imports` instead.
    """
    yield type(tree).__name__
    for name, value in ast.iter_fields(tree):
        if name == "body" and isinstance(tree, Definition):
            value = _without_docstring(value)
        if isinstance(tree, ast.Constant) and name == "value":
            yield repr(value)
        elif isinstance(value, ast.AST) and name not in IGNORED:
            yield [name, list(_simplify(value, package, imports))]
        elif isinstance(value, list) and name not in IGNORED:
            nodes = [item for item in value if not _is_for_types(item)]
            others = [item for item in nodes if not _collect(item, package, imports)]
            yield [name, [_simplified(item, package, imports) for item in others]]
        elif value is not None and name not in IGNORED:
            yield [name, value]


def _simplified(item: object, package: str, imports: list[Import]) -> object:
    return list(_simplify(item, package, imports)) if isinstance(item, ast.AST) else item


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *others]:
            return others
    return body


def _is_for_types(item: object) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, which never runs."""
    names = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(item, ast.If) and ast.unparse(item.test) in names and not item.orelse


def _collect(item: object, package: str, imports: list[Import]) -> bool:
    """Append what a statement imports from this project. Return False if it imports nothing from it."""
    if isinstance(item, ast.Import):
        found = [Import(a.name, "", a.asname or a.name) for a in item.names if _path(a.name)]
    elif isinstance(item, ast.ImportFrom):
        parents = package.split(".")[: len(package.split(".")) + 1 - item.level] if item.level else []
        source = ".".join([*parents, *filter(None, [item.module])])
        found = []
        for alias in item.names:
            if _path(module := f"{source}.{alias.name}"):
                found.append(Import(module, "", alias.asname or alias.name))
            elif _path(source):
                found.append(Import(source, alias.name, alias.asname or alias.name))
    else:
        return False
    imports += found
    return bool(found)
