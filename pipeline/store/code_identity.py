"""A hash of what code does: part of every clip's key and of every training's fingerprint.

The hash covers the syntax tree of each file of this project that the code imports, directly or indirectly. It
ignores comments, docstrings, formatting, annotations and the paths of files.
"""

import ast
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline import PREFIX
from pipeline.store.formats import digest

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {"annotation", "returns", "ctx", "kind", "type_comment", "type_ignores", "type_params"}
Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One import from this project.

    module: of this project. name: what is imported from it; empty for the module itself. binding: the name in
    the importing file.
    """

    module: str
    name: str
    binding: str


def code_digest(*code: str | type | Callable) -> str:
    """Return a hash of the code of modules and of everything that they import from this project.

    code: names of modules, or classes and functions, which stand for their modules. Components of a registry
    are imported by name at run time: add their modules. Raises ValueError for a module outside this project.
    """
    modules = [item if isinstance(item, str) else item.__module__ for item in code]
    return digest(sorted(_hash_with_imports(module) for module in imported_modules(*modules)))


def imported_modules(*modules: str) -> set[str]:
    """Return these modules and all modules of this project that they import, in functions too."""
    visited: set[str] = set()
    queue = list(modules)
    while queue:
        if (module := queue.pop()) not in visited:
            visited.add(module)
            queue += [item.module for item in _parse(module)[1]]
    return visited


def _hash_with_imports(module: str) -> str:
    """Return a hash that changes if an import refers to other code, but not if a module is moved."""
    tree_hash, imports = _parse(module)
    return digest(tree_hash, sorted((_parse(item.module)[0], item.name, item.binding) for item in imports))


@functools.cache
def _parse(module: str) -> tuple[str, tuple[Import, ...]]:
    """Return the hash of a module's syntax tree without its imports from this project, and these imports."""
    path = _path(module)
    if path is None:
        raise ValueError(f"{module}: no module of this project")
    tree = ast.parse(path.read_bytes())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports: list[Import] = []
    statements = list(_simplify(tree, package, imports))
    return digest(statements), tuple(imports)


def _path(module: str) -> Path | None:
    """Return the file of a module of this project; None for any other module."""
    if not module.startswith(PREFIX):
        return None
    base = ROOT.joinpath(*module.removeprefix(PREFIX).split("."))
    candidates = [base.with_suffix(".py"), base / "__init__.py"]
    return next((path for path in candidates if path.is_file()), None)


def _simplify(tree: ast.AST, package: str, imports: list[Import]) -> Iterator:
    """Yield the fields of a syntax tree as nested lists, which are equal in all versions of Python.

    Imports from this project are left out and appended to `imports`.
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
            nodes = [item for item in value if not _is_type_checking_block(item)]
            remaining = [item for item in nodes if not _collect_imports(item, package, imports)]
            yield [name, [_simplify_item(item, package, imports) for item in remaining]]
        elif value is not None and name not in IGNORED:
            yield [name, value]


def _simplify_item(item: object, package: str, imports: list[Import]) -> object:
    return list(_simplify(item, package, imports)) if isinstance(item, ast.AST) else item


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *statements]:
            return statements
    return body


def _is_type_checking_block(item: object) -> bool:
    """Return whether a statement is `if TYPE_CHECKING:`, which never runs."""
    names = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(item, ast.If) and ast.unparse(item.test) in names and not item.orelse


def _collect_imports(item: object, package: str, imports: list[Import]) -> bool:
    """Append the imports from this project in a statement. Return False if there are none."""
    if isinstance(item, ast.Import):
        new_imports = [Import(a.name, "", a.asname or a.name) for a in item.names if _path(a.name)]
    elif isinstance(item, ast.ImportFrom):
        parents = package.split(".")[: len(package.split(".")) + 1 - item.level] if item.level else []
        source = ".".join([*parents, *filter(None, [item.module])])
        new_imports = []
        for alias in item.names:
            if _path(module := f"{source}.{alias.name}"):
                new_imports.append(Import(module, "", alias.asname or alias.name))
            elif _path(source):
                new_imports.append(Import(source, alias.name, alias.asname or alias.name))
    else:
        return False
    imports += new_imports
    return bool(new_imports)
