"""Writes experiments/code.json: what the code does that studies run by name, as hashes.

    python -m experiments.code_digests

It is a stage of DVC that runs always (experiments/dvc.yaml). Studies depend on keys of the file, and not on
folders of code: then no comment makes one stale, and no bytecode, which DVC would count outside of its own
project. Each hash covers the module and all of this project that it imports.
"""

from pathlib import Path
from typing import Any

from experiments import study_data
from pipeline.cli import run
from pipeline.config import ROOT
from pipeline.store.code_identity import code_digest
from pipeline.store.metric_files import write_json

FILE = Path("experiments/code.json")
COMPONENTS = ("audio", "video", "joint", "losses", "matchers", "tasks")
# Folders whose modules are run, or imported, by their names.
FOLDERS = (*(f"models/{kind}" for kind in COMPONENTS), "pipeline/sources", "experiments/*")


def digests() -> dict[str, Any]:
    """Return {"models": {"audio": {"cnn": hash}}, ...}, nested as the modules are."""
    paths = [path for folder in FOLDERS for path in sorted(ROOT.glob(f"{folder}/*.py"))]
    modules = [path.relative_to(ROOT).with_suffix("").parts for path in paths if path.name != "__init__.py"]
    tree: dict[str, Any] = {}
    for *packages, name in [*modules, *(("stages", stage) for stage in study_data.stages())]:
        place = tree
        for package in packages:
            place = place.setdefault(package, {})
        place[name] = code_digest(".".join([*packages, name]))
    return tree


def code() -> None:
    write_json(digests(), FILE)
    print(f"code: wrote {FILE}")


if __name__ == "__main__":
    run(code)
