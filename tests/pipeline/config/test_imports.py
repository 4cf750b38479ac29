"""Who imports what: the configuration is below everything, and nothing that makes a value imports it."""

import ast
import subprocess
import sys

from pipeline.config import ROOT

FOLDERS = ("models/audio", "models/joint", "models/losses", "models/matchers", "models/tasks", "models/video")


def test_it_imports_only_errors_of_the_project():
    for path in (ROOT / "pipeline/config").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                is_project = name.partition(".")[0] in ("app", "experiments", "models", "pipeline", "stages")
                is_allowed = name.startswith("pipeline.config") or name in ("pipeline", "pipeline.errors")
                assert is_allowed or not is_project, path


def test_sources_components_tasks_and_training_do_not_import_it():
    # A new description of a parameter would otherwise change the code that a clip or a model is made by.
    paths = [path for folder in (*FOLDERS, "pipeline/sources") for path in (ROOT / folder).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    modules = [name.removesuffix(".__init__") for name in names] + ["models.training.loop"]
    code = f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
    code += "print([name for name in sys.modules if name.startswith('pipeline.config')])"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")
