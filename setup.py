"""Build the wheel: the packages of this folder become parts of one package, `earsight`.

`pip install .` installs `app`, `models` and `pipeline` as `earsight.app`, `earsight.models` and
`earsight.pipeline`, and earsight.py as `earsight/__init__.py`: another package there may be called `models`.
`stages` and `experiments` need a project's dvc.yaml and are not installed.
"""

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import find_namespace_packages, setup
from setuptools.command.build_py import build_py

NAME = "earsight"
PACKAGES = ("app", "models", "pipeline")
OWN_MODULE = re.compile(rf"({'|'.join(PACKAGES)})(\.\w*)*")  # the name of a module, or the beginning of one
COMMAND = re.compile(rf"(?<=python -m )(?=({'|'.join(PACKAGES)})\b)")  # in help and messages


def add_prefix(source: str, file: str | Path) -> str:
    """Put `earsight.` before the names of the project's packages: in imports, and in commands inside strings.

    Raises SystemExit with file and line for what it cannot change: `import pipeline.x` without `as`, and a
    string that is the name of a module. Such a string must begin with `pipeline.PREFIX`.
    """
    lines = source.encode().splitlines(keepends=True)
    for line, column in sorted(_find_imports(ast.parse(source), file), reverse=True):
        text = lines[line - 1]
        lines[line - 1] = text[:column] + f"{NAME}.".encode() + text[column:]
    return COMMAND.sub(f"{NAME}.", b"".join(lines).decode())


def _find_imports(tree: ast.Module, file: str | Path) -> Iterator[tuple[int, int]]:
    """Yield line and column (in bytes) of each import of a module of the project."""
    f_strings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    follows_value = {id(part) for f_string in f_strings for part in f_string.values[1:]}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), level=0) if OWN_MODULE.fullmatch(module):
                yield node.lineno, node.col_offset + len("from ")
            case ast.Import(names=names):
                for name in names:
                    if OWN_MODULE.fullmatch(name.name) and not name.asname:
                        raise SystemExit(f"{file}:{node.lineno}: import {name.name}: write `from ... import`")
                    if OWN_MODULE.fullmatch(name.name):
                        yield name.lineno, name.col_offset
            case ast.Constant(value=str(text)) if "." in text and OWN_MODULE.fullmatch(text):
                if id(node) not in follows_value:
                    raise SystemExit(f"{file}:{node.lineno}: {text!r}: begin it with pipeline.PREFIX")


class BuildPackage(build_py):
    """Copy the packages as setuptools does, and add the prefix in each Python file."""

    def run(self) -> None:
        if self.editable_mode:
            raise SystemExit("Earsight cannot be installed as editable: use a clone instead (make setup)")
        shutil.rmtree(self.build_lib, ignore_errors=True)  # files of an earlier build would be packed too
        super().run()

    def get_module_outfile(self, build_dir: str, package: list[str], module: str) -> str:
        if module == NAME:
            package, module = [NAME], "__init__"
        return super().get_module_outfile(build_dir, package, module)

    def build_module(self, module: str, module_file: str, package: str) -> tuple[str, bool]:
        path = Path(self.get_module_outfile(self.build_lib, package.split("."), module))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(add_prefix(Path(module_file).read_text("utf-8"), module_file), "utf-8")
        return str(path), True


if __name__ == "__main__":
    patterns = [pattern for package in PACKAGES for pattern in (package, f"{package}.*")]
    names = find_namespace_packages(include=patterns, exclude=["*__pycache__*"])
    setup(
        py_modules=[NAME],
        packages=[f"{NAME}.{name}" for name in names],
        package_dir={f"{NAME}.{package}": package for package in PACKAGES},
        package_data={"": ["*"]},
        exclude_package_data={"": ["*.py"]},
        cmdclass={"build_py": BuildPackage},
    )
