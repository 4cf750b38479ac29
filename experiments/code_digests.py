"""Write experiments/code.json: a hash of the code of each module that a study may use.

    python -m experiments.code_digests

DVC always runs it, as a stage of experiments/dvc.yaml. Studies depend on keys of the file, and not on folders
of code. So a changed comment makes no study stale, and neither does a file with bytecode. A hash covers the
module and all modules of this project that it imports. `studies.<system>` is one hash of all that a study may
use: its own modules, all models, and, if it has data of its own, all sources and stages.
"""

from pathlib import Path
from typing import Any

from experiments import study_data
from pipeline.cli import run
from pipeline.config import ROOT
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import digest
from pipeline.store.metric_files import write_json

FILE = Path("experiments/code.json")
COMPONENTS = ("audio", "video", "joint", "losses", "matchers", "tasks")
# Folders whose modules are run, or imported by name.
FOLDERS = (*(f"models/{kind}" for kind in COMPONENTS), "pipeline/sources", "experiments/*")


def digests() -> dict[str, Any]:
    """Return the hashes, nested as the modules are: {"models": {"audio": {"cnn": hash, ...}, ...}, ...}."""
    paths = [path for folder in FOLDERS for path in sorted(ROOT.glob(f"{folder}/*.py"))]
    modules = [path.relative_to(ROOT).with_suffix("").parts for path in paths if path.name != "__init__.py"]
    modules += [("stages", stage) for stage in study_data.stages()]
    tree: dict[str, Any] = {}
    for *packages, name in modules:
        branch = tree
        for package in packages:
            branch = branch.setdefault(package, {})  # go down, and create what is not there yet
        branch[name] = code_digest(".".join([*packages, name]))
    tree["studies"] = {}
    for system, own in tree["experiments"].items():
        packages = ["models", "pipeline", "stages"] if "study" in own else ["models"]  # `study` makes data
        tree["studies"][system] = digest(own, *(tree[package] for package in packages))
    return tree


def code() -> None:
    """Run the stage."""
    write_json(digests(), FILE)
    print(f"code: wrote {FILE}")


if __name__ == "__main__":
    run(code)
