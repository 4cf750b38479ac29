"""A copy of this project in a temporary folder, with parameters so small that all stages run in seconds."""

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
from testing.preloaded_process import TEST_ENVIRONMENT, PreloadedProcess

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
    "data.ensemble.test_clips": 0,
    "data.ensemble.negatives": 0,
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
    "towers.audio": ["timm/test_resnet"],
    "towers.video": ["timm/test_resnet"],
    "evaluate.bootstrap": 100,
    "engine.workers": 2,
}


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix: tuple[str, ...] = ()  # a command that runs the stages
        self.prepare: Callable[[], None] | None = None  # what the process of a stage calls first

    @classmethod
    def new(cls, root: Path, **changes: Any) -> "Project":
        """Make a project of the code and the tiny parameters, without data."""
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
        """Set values of a parameter file. changes: dotted key -> value."""
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

    def start(self, *command: str, **options: Any) -> subprocess.Popen:
        """Start a process in the project, in its own session: a signal to its group reaches nothing else."""
        env = os.environ | TEST_ENVIRONMENT | options.pop("env", {})
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=self.root,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
            env=env,
            **options,
        )

    def start_dvc(self, *arguments: str, env: dict[str, str] | None = None) -> PreloadedProcess:
        """Start DVC, whose imports are done; the stages that it begins are processes of their own."""
        return PreloadedProcess(self.root, ["dvc", *arguments], env)

    def run_command(self, *command: str) -> str:
        """Run a command that must succeed; return its output."""
        process = self.start_dvc(*command[1:]) if command[0] == "dvc" else self.start(*command)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (command, out + err)
        return out

    def start_stage(
        self, name: str, *arguments: str, trace: Path | None = None
    ) -> subprocess.Popen | PreloadedProcess:
        """Start a stage. trace: the file that lists what the stage reads, see trace.py."""
        module = name if "." in name else f"stages.{name}"
        command = [str(TRACE), str(trace), module] if trace else [module]
        if not self.prefix:
            return PreloadedProcess(self.root, [*command, *arguments], prepare=self.prepare)
        options = [] if trace else ["-m"]
        return self.start(*self.prefix, sys.executable, *options, *command, *arguments)

    def run(self, name: str, *arguments: str, trace: Path | None = None) -> str:
        """Run a stage that must succeed; return the last line that it prints."""
        process = self.start_stage(name, *arguments, trace=trace)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and not err, f"{name}: {out}{err}"
        return out.splitlines()[-1]

    def expect_error(self, name: str) -> str:
        """Run a stage that must end with status 1 and one error line; return the line."""
        process = self.start_stage(name)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1, f"{name}: {out}{err}"
        lines = err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("ERROR: "), err
        return lines[0]

    def rows(self, name: str) -> list[dict]:
        """Return the rows of a table under data/."""
        return pq.read_table(self / f"data/{name}").to_pylist()

    def files(self, folder: str) -> dict[str, bytes]:
        """Return all files under a folder, hidden ones too: relative path -> content."""
        parent = self / folder
        return {
            str(p.relative_to(parent)): p.read_bytes() for p in sorted(parent.rglob("*")) if not p.is_dir()
        }

    def hidden_files(self) -> list[Path]:
        """Return temporary and hidden files: those of an unfinished run."""
        folders = [self / folder for folder in ("data", "checkpoints", "metrics")]
        return [p for top in folders for p in top.rglob("*") if p.name.startswith(".") or p.suffix == ".tmp"]


def _results_of_studies(folder: str, names: list[str]) -> list[str]:
    """Return the names in the folder of a study that only a run of the study makes."""
    if Path(folder).parent != ROOT / "experiments":
        return []
    return [
        name for name in names if name in ("cache", "data", "dvc.lock", "metrics", "models", "report", "tmp")
    ]


@functools.cache
def _compile() -> None:
    """Compile the code once: otherwise each copy takes a second for it."""
    for name in CODE:
        compileall.compile_dir(ROOT / name, quiet=1)


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition is still false"
        time.sleep(0.005)
