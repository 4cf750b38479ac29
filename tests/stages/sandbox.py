"""What dvc.yaml says of a stage, and a folder in which nothing else is."""

import shutil
from importlib.util import cache_from_source
from pathlib import Path

import yaml

from tests.stages.project import ROOT, Project

DEFAULT = (
    "source",
    "clips",
    "download",
    "wav",
    "spectrogram",
    "frames",
    "faces",
    "split",
    "statistics",
    "pretrain",
    "train",
    "evaluate",
    "index",
    "report",
)
GRID = ("grid", "leaderboard", "retrieval")
STAGES = DEFAULT + GRID

# Code that a stage imports, though it cannot change what the stage writes, so that dvc.yaml need not list it.
ALWAYS = {
    "models/__init__.py": "empty",
    "pipeline/__init__.py": "empty",
    "pipeline/arrow.py": "imports less",
    "pipeline/errors.py": "how a mistake of the user is said",
    "pipeline/params.py": "checks the parameters, which are listed themselves",
    "pipeline/resume.py": "where unfinished work lies",
    "pipeline/storage.py": "where shards lie",
    "pipeline/sources/__init__.py": "finds a source by its name",
    "stages/__init__.py": "how a mistake of the user is said",
}
RUNS = {
    "pipeline/workers.py": "the processes that a step runs in",
    "pipeline/engine.py": "where and when a step runs, and the hash of what is listed",
    "pipeline/limits.py": "how much a worker may ask for",
    "pipeline/progress.py": "what is said meanwhile",
    "pipeline/clips.py": "checks the table, which is listed itself",
}
TABLES = {
    "pipeline/clips.py": "checks the table, which is listed itself",
    "pipeline/outcome.py": "the names of the reasons",
    "pipeline/shards.py": "reads and writes tables as they are",
}
NEUTRAL = {
    "source": TABLES | {"pipeline/download.py": "imported beside what finds the folder"},
    "clips": {p: TABLES[p] for p in ("pipeline/outcome.py", "pipeline/shards.py")},
    "download": RUNS
    | {
        "pipeline/media.py": "imported beside the folders' names",
        "pipeline/sources/clips_csv.py": "makes the table, which is listed itself",
    },
    "wav": RUNS,
    "spectrogram": RUNS | dict.fromkeys(("pipeline/media.py", "pipeline/ffmpeg.py"), "reads no media"),
    "frames": RUNS,
    "faces": RUNS,
    "split": TABLES,
    "statistics": TABLES,
    "pretrain": RUNS | TABLES,
    "train": RUNS | TABLES,
    "evaluate": TABLES,
    "index": TABLES,
    "report": TABLES,
    **{stage: RUNS | TABLES for stage in GRID},
}


def entry(stage: str, root: Path = ROOT) -> dict:
    path = root / ("grid/dvc.yaml" if stage in GRID else "dvc.yaml")
    return yaml.load(path.read_text(), yaml.CSafeLoader)["stages"][stage]


def code(stage: str) -> list[str]:
    """The files of code that are listed, each file of a listed folder too."""
    deps = [ROOT / d for d in entry(stage)["deps"] if d.startswith(("pipeline/", "models/", "stages/"))]
    files = [f for d in deps for f in (sorted(d.glob("*.py")) if d.is_dir() else [d])]
    return [f.relative_to(ROOT).as_posix() for f in files]


def neutral(stage: str) -> dict[str, str]:
    return ALWAYS | NEUTRAL[stage]


def sandbox(whole: Project, stage: str, root: Path) -> tuple[Project, list[str]]:
    """A folder with the deps of a stage, taken from `whole`; and its outs, for the grid those of one cell."""
    about = entry(stage)
    (root / "videos").mkdir(parents=True)
    names = ["dvc.yaml", "grid/dvc.yaml", "params.yaml", *code(stage), *neutral(stage)]
    compiled = [cache_from_source(name) for name in names if name.endswith(".py")]
    for name in names + [c for c in compiled if (whole / c).exists()]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(whole / name, root / name)
    # That there are models and sources of these names, and what models take by keyword, decides which
    # parameters are right. They are read for that, and not imported.
    for path in [*whole.root.glob("models/*/*.py"), *whole.root.glob("pipeline/sources/*.py")]:
        place = root / path.relative_to(whole.root)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_text('raise ImportError("dvc.yaml does not list it")\n' + path.read_text())
    for name in about["deps"]:
        if name.startswith(("data/", "metrics/", "checkpoints", "pretrained", "grid/")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (whole / name).is_dir() else shutil.copy
            copy(whole / name, root / name)
    outs = [o if isinstance(o, str) else next(iter(o)) for o in [*about["outs"], *about.get("metrics", [])]]
    cell = {"${item.audio}": "cnn_small", "${item.video}": "cnn_avg", "${item.loss}": "bce"}
    for old, new in cell.items():
        outs = [out.replace(old, new) for out in outs]
    return Project(root), outs
