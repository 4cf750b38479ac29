"""A hash of code: part of every clip's key and of every training's fingerprint.

A value is computed again if the hash of its code has changed. The hash covers the syntax tree of each file of
this project that the code imports, directly or indirectly. It ignores comments, docstrings, formatting,
annotations and the paths of files.
"""

import ast
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline import PREFIX
from pipeline.store.formats import digest

ROOT = Path(__file__).resolve().parents[2]  # the folder of the project
# Fields of the nodes of a syntax tree that change nothing in what the code does.
IGNORED_FIELDS = {"annotation", "returns", "ctx", "kind", "type_comment", "type_ignores", "type_params"}
Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One import of a module of this project, or from it.

    module: its full name. name: what is imported from it; empty if the module itself is imported. binding:
    the name that the import defines in the importing file (`as`).
    """

    module: str
    name: str
    binding: str


def code_digest(*code: str | type | Callable) -> str:
    """Return a hash of the code of modules and of everything that they import from this project.

    code: names of modules, or classes and functions, which stand for their modules. A component that a
    registry imports by its name at run time is not found: add its module. Raises ValueError for a module
    outside this project.
    """
    modules = [item if isinstance(item, str) else item.__module__ for item in code]
    return digest(sorted(_hash_with_imports(module) for module in imported_modules(*modules)))


def imported_modules(*modules: str) -> set[str]:
    """Return the names of these modules and of all modules of this project that they import.

    Imports inside functions count, and imports by imported modules.
    """
    visited: set[str] = set()
    to_visit = list(modules)
    while to_visit:
        module = to_visit.pop()
        if module not in visited:
            visited.add(module)
            _, imports = _parse(module)
            to_visit += [item.module for item in imports]
    return visited


def _hash_with_imports(module: str) -> str:
    """Return a hash of a module's code and of what it imports from this project.

    An imported module is represented by the hash of its own code and not by its name. So the hash changes if
    an import refers to other code, but not if a module is moved.
    """
    tree_hash, imports = _parse(module)
    hashed_imports = []
    for item in imports:
        imported_tree_hash, _ = _parse(item.module)
        hashed_imports.append((imported_tree_hash, item.name, item.binding))
    return digest(tree_hash, sorted(hashed_imports))


@functools.cache
def _parse(module: str) -> tuple[str, tuple[Import, ...]]:
    """Return the hash of a module's syntax tree without its imports from this project, and these imports.

    Raises ValueError for a module outside this project.
    """
    path = _find_file(module)
    if path is None:
        raise ValueError(f"{module}: no module of this project")
    tree = ast.parse(path.read_bytes())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports: list[Import] = []
    statements = list(_simplify(tree, package, imports))
    return digest(statements), tuple(imports)


def _find_file(module: str) -> Path | None:
    """Return the file of a module of this project; None for any other module."""
    if not module.startswith(PREFIX):
        return None
    base = ROOT.joinpath(*module.removeprefix(PREFIX).split("."))
    candidates = [base.with_suffix(".py"), base / "__init__.py"]
    return next((path for path in candidates if path.is_file()), None)


def _simplify(tree: ast.AST, package: str, imports: list[Import]) -> Iterator:
    """Yield the type and the fields of a node of a syntax tree, with its children as nested lists.

    They are equal in all versions of Python. package: of the module, for relative imports. Imports from this
    project are left out and appended to `imports`.
    """
    yield type(tree).__name__
    for name, value in ast.iter_fields(tree):
        if name == "body" and isinstance(tree, Definition):
            value = _without_docstring(value)
        if isinstance(tree, ast.Constant) and name == "value":
            yield repr(value)
        elif isinstance(value, ast.AST) and name not in IGNORED_FIELDS:
            yield [name, list(_simplify(value, package, imports))]
        elif isinstance(value, list) and name not in IGNORED_FIELDS:
            items = []
            for item in value:
                if not _is_type_checking_block(item) and not _collect_imports(item, package, imports):
                    items.append(item)
            yield [name, [_simplify_item(item, package, imports) for item in items]]
        elif value is not None and name not in IGNORED_FIELDS:
            yield [name, value]


def _simplify_item(item: object, package: str, imports: list[Import]) -> object:
    """Return an item of a list in a syntax tree as a nested list if it is a node, otherwise as it is."""
    return list(_simplify(item, package, imports)) if isinstance(item, ast.AST) else item


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements of a module, class or function without its docstring."""
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *statements]:
            return statements
    return body


def _is_type_checking_block(item: object) -> bool:
    """Return whether a statement is `if TYPE_CHECKING:`, which never runs."""
    names = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(item, ast.If) and ast.unparse(item.test) in names and not item.orelse


def _collect_imports(item: object, package: str, imports: list[Import]) -> bool:
    """If an item of a syntax tree is an import from this project, append what it imports to `imports`.

    Return whether it is one. package: of the module, for relative imports.
    """
    new_imports = []
    if isinstance(item, ast.Import):  # import a.b as c
        for alias in item.names:
            if _find_file(alias.name):
                new_imports.append(Import(alias.name, "", alias.asname or alias.name))
    elif isinstance(item, ast.ImportFrom):  # from a.b import c, or from ..b import c
        parent = _parent_package(package, item.level)
        source = ".".join(filter(None, [parent, item.module]))
        for alias in item.names:
            binding = alias.asname or alias.name
            submodule = f"{source}.{alias.name}"
            if _find_file(submodule):
                new_imports.append(Import(submodule, "", binding))
            elif _find_file(source):
                new_imports.append(Import(source, alias.name, binding))
    imports += new_imports
    return bool(new_imports)


def _parent_package(package: str, level: int) -> str:
    """Return the package that an import with `level` leading points refers to; empty for no points."""
    if not level:
        return ""
    names = package.split(".")
    return ".".join(names[: len(names) + 1 - level])
