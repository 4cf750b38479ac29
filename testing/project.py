"""A copy of this project in a temporary folder, with parameters so small that all of it runs in seconds."""

import compileall
import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from pipeline.config import data_stages, stage_names
from testing import defaults
from testing.warm import HERE, Warm

ROOT = Path(__file__).resolve().parents[1]
TRACE = ROOT / "testing/trace.py"
CODE = ("app", "experiments", "models", "pipeline", "stages")
STAGES = stage_names()
# Data stage -> folder of its shards. Faces are off in the tiny parameters: their stage writes none.
FOLDERS = {stage: folder for stage, folder in data_stages().items() if stage != "faces"}
DATA_STAGES = tuple(FOLDERS)

TINY = {
    "data.clip_seconds": 1.5,
    "data.shard_size": 8,
    "data.ensemble.clips": 40,
    "data.ensemble.broken": 0.15,
    "audio.sample_rate": 8000,
    "audio.n_fft": 256,
    "audio.win_length": 200,
    "audio.hop_length": 80,
    "audio.n_mels": 16,
    "audio.window_seconds": 0.5,
    "video.frames": 2,
    "video.height": 32,
    "video.width": 32,
    "split.val": 0.2,
    "split.test": 0.25,
    "train.epochs": 8,
    "train.batch_size": 8,
    "train.embedding_dim": 16,
    "train.precision": "32-true",
    "pretraining.train.epochs": 4,
    "pretraining.train.batch_size": 8,
    "pretraining.train.precision": "32-true",
    "encoders.audio.cnn_small": {"width": 8},
    "encoders.video.cnn_avg": {"trunk": "timm/test_resnet"},
    "video_encoder": "cnn_avg",
    "encoders.joint.cav_mae": {
        "patch": 8,
        "width": 32,
        "heads": 2,
        "layers": 1,
        "decoder_width": 16,
        "decoder_heads": 2,
    },
    "evaluate.bootstrap": 100,
    "engine.workers": 2,
}


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix: tuple[str, ...] = ()  # a command that runs the stages

    @classmethod
    def new(cls, root: Path, **changes: Any) -> "Project":
        """The code and the tiny parameters, without data."""
        _compile()
        for name in CODE:
            shutil.copytree(ROOT / name, root / name, ignore=_results_of_studies)
        shutil.copy(ROOT / "dvc.yaml", root)
        shutil.copy(defaults.PARAMS, root / "params.yaml")
        (root / "videos").mkdir()
        project = cls(root)
        project.set(TINY | changes)
        return project

    def copy(self, root: Path) -> "Project":
        shutil.copytree(self.root, root, symlinks=True)
        return Project(root)

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def set(self, changes: dict[str, Any], file: str = "params.yaml") -> None:
        """Change values of a file of parameters, by their keys."""
        path = self / file
        values = yaml.load(path.read_text(), yaml.CSafeLoader)
        for key, value in changes.items():
            *sections, name = key.split(".")
            section = values
            for part in sections:
                section = section[part]
            if name not in section:
                raise KeyError(key)
            section[name] = value
        path.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper, sort_keys=False))

    def start(self, *command: str, **more: Any) -> subprocess.Popen:
        """A process in the project, in a session of its own, so that a signal to its group stays with it."""
        env = os.environ | HERE | more.pop("env", {})
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=self.root,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
            env=env,
            **more,
        )

    def do(self, *command: str) -> str:
        """Run a command that ends well; return what it prints."""
        process = Warm(self.root, [*command]) if command[0] == "dvc" else self.start(*command)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (command, out + err)
        return out

    def stage(self, name: str, *arguments: str, trace: Path | None = None) -> subprocess.Popen | Warm:
        """A stage's process. trace: where to note what it asks for, see trace.py."""
        module = name if "." in name else f"stages.{name}"
        command = [str(TRACE), str(trace), module] if trace else [module]
        if not self.prefix:
            return Warm(self.root, [*command, *arguments])
        how = [] if trace else ["-m"]
        return self.start(*self.prefix, sys.executable, *how, *command, *arguments)

    def run(self, name: str, *arguments: str, trace: Path | None = None) -> str:
        """Run a stage that ends well; return the last line that it prints."""
        process = self.stage(name, *arguments, trace=trace)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and not err, f"{name}: {out}{err}"
        return out.splitlines()[-1]

    def fails(self, name: str) -> str:
        """Run a stage that ends with status 1 and one line; return the line."""
        process = self.stage(name)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1, f"{name}: {out}{err}"
        lines = err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("ERROR: "), err
        return lines[0]

    def rows(self, name: str) -> list[dict]:
        """A table under data/."""
        return pq.read_table(self / f"data/{name}").to_pylist()

    def files(self, folder: str) -> dict[str, bytes]:
        """Everything under a folder, hidden files too: relative path -> content."""
        top = self / folder
        return {str(p.relative_to(top)): p.read_bytes() for p in sorted(top.rglob("*")) if not p.is_dir()}

    def hidden(self) -> list[Path]:
        """Temporary files, and what a run puts aside."""
        tops = [self / folder for folder in ("data", "checkpoints", "metrics")]
        return [p for top in tops for p in top.rglob("*") if p.name.startswith(".") or p.suffix == ".tmp"]


def _results_of_studies(folder: str, names: list[str]) -> list[str]:
    """What is in the folder of a study and not in a project that never ran it."""
    if Path(folder).parent != ROOT / "experiments":
        return []
    return [
        name for name in names if name in ("cache", "data", "dvc.lock", "metrics", "models", "report", "tmp")
    ]


@functools.cache
def _compile() -> None:
    """So that no copy needs to: each would take a second for it."""
    for name in CODE:
        compileall.compile_dir(ROOT / name, quiet=1)


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
