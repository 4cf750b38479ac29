"""Find names that do not say what they hold: `make lint` fails where there is one.

A value is named by a noun and a function by a verb. A past participle such as `found` fits every value.
"""

import ast
import sys
from collections.abc import Iterator

from pipeline.config import ROOT

FOLDERS = ("app", "benchmarks", "experiments", "models", "pipeline", "stages", "testing", "tests")
BANNED = frozenset(
    (
        *("asked", "begun", "chosen", "drawn", "found", "given", "heard", "kept", "known", "lent", "made"),
        *("said", "seen", "settle", "shown", "taken", "told", "tried", "wanted"),
    )
)


def bound_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each name that a module defines, with its line: variables, parameters, attributes, functions."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.alias(asname=str(name)):
                yield name, node.lineno
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno


def banned_names(source: str) -> list[tuple[str, int]]:
    """Return the banned names that a module defines, with their lines."""
    return [(name, line) for name, line in bound_names(ast.parse(source)) if name.strip("_") in BANNED]


def main() -> None:
    lines = [
        f"{path.relative_to(ROOT)}:{line}: {name}: say what it is (a noun), or what it does (a verb)"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name, line in banned_names(path.read_text(encoding="utf-8"))
    ]
    if lines:
        sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
