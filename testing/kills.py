"""Kill `dvc repro` at random moments, and compare its final outputs with those of an uninterrupted run."""

import hashlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from pipeline.config import data_stages
from testing.project import Project

TARGETS = (*data_stages(), "evaluate", "index")
OUTPUT_FOLDERS = ("data", "pretrained", "checkpoints", "metrics")
MAX_SECONDS = 3600.0  # s that one run may take


@dataclass
class Run:
    """A running `dvc repro`. start_times: stage -> s (monotonic)."""

    project: Project
    targets: tuple[str, ...]
    process: subprocess.Popen = field(init=False)
    start_times: dict[str, float] = field(default_factory=dict)
    output_lines: list[str] = field(default_factory=list)
    end_time: float = 0.0

    def __post_init__(self) -> None:
        self.process = self.project.start("dvc", "repro", "--no-run-cache", *self.targets)
        self.readers = [
            threading.Thread(target=self._read, args=(pipe,))
            for pipe in (self.process.stdout, self.process.stderr)
        ]
        for reader in self.readers:
            reader.start()

    def _read(self, pipe) -> None:
        for line in pipe:
            self.output_lines.append(line)
            if line.startswith("Running stage '"):
                self.start_times[line.split("'")[1]] = time.monotonic()

    @property
    def current_stage(self) -> str:
        """Return the stage that started last."""
        return max(self.start_times, key=self.start_times.__getitem__, default="dvc")

    def wait(self) -> int:
        try:
            code = self.process.wait(MAX_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self.end_time = time.monotonic()
        for reader in self.readers:
            reader.join()
        return code

    def kill(self, alone: bool) -> bool:
        """Kill the process group, or only the stage's process. Return False if the run has already ended."""
        if self.process.poll() is not None:
            return False
        stage = self._stage() if alone else None
        try:
            if stage:
                stage.kill()
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False
        self.wait()
        return True

    def _stage(self) -> psutil.Process | None:
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
            return next((p for p in family if f"stages.{self.current_stage}" in p.cmdline()), None)
        except psutil.NoSuchProcess:
            return None


def init_dvc(project: Project) -> Project:
    """Initialize DVC in the project."""
    for words in (["init", "--no-scm", "--quiet"], ["config", "core.analytics", "false"]):
        _, err = project.start("dvc", *words).communicate()
        if err:
            raise RuntimeError(err)
    return project


def run_to_end(project: Project, targets: tuple[str, ...]) -> dict[str, float]:
    """Run to the end; return the duration of each stage, s."""
    run = Run(project, targets)
    if run.wait():
        raise RuntimeError("dvc repro: " + "".join(run.output_lines[-20:]))
    times = [*sorted(run.start_times.values()), run.end_time]
    return {stage: times[times.index(at) + 1] - at for stage, at in run.start_times.items()}


def run_with_kills(
    project: Project,
    stages: list[str],
    durations: dict[str, float],
    rng: random.Random,
    targets: tuple[str, ...] = TARGETS,
) -> Iterator[dict]:
    """Kill a run at a random moment of each of `stages` and run again; then run to the end. Yield each kill.

    durations: stage -> s, in the order of the stages. If a stage has nothing to do, the next one that runs
    is killed.
    """
    order = list(durations)
    for stage in stages:
        run = Run(project, targets)
        later = order[order.index(stage) :]
        while not (started := [s for s in later if s in run.start_times]) and run.process.poll() is None:
            time.sleep(0.005)
        moment = rng.uniform(0, durations[started[0] if started else stage])
        alone = rng.random() < 0.3
        end = time.monotonic() + moment
        while time.monotonic() < end and run.process.poll() is None:
            time.sleep(0.005)
        current_stage = run.current_stage
        if run.kill(alone):
            yield {
                "running": current_stage,
                "after_s": round(moment, 2),
                "alone": alone,
                "tore": delete_torn_files(project),
            }
        elif run.wait():
            raise RuntimeError("dvc repro, not killed: " + "".join(run.output_lines[-20:]))
    run_to_end(project, targets)


def delete_torn_files(project: Project) -> list[str]:
    """Delete files that DVC left half-written, as a user would; return their names.

    DVC empties dvc.lock and rwlock before it writes them anew: a kill in between leaves a file that it
    refuses. The finished work of stages is in their own folders and stays.
    """
    names = [
        n for n in ("dvc.lock", ".dvc/tmp/rwlock") if (project / n).exists() and not _readable(project / n)
    ]
    for name in names:
        (project / name).unlink()
    return names


def _readable(path: Path) -> bool:
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError:
        return False
    return isinstance(content, dict) and (path.name != "dvc.lock" or bool(content.get("stages")))


def differences(project: Project, reference: Project, folders: tuple[str, ...] = OUTPUT_FOLDERS) -> list[str]:
    """Return the files that differ from an uninterrupted run, or should not exist."""
    errors = []
    for folder in folders:
        before, now = reference.files(folder), project.files(folder)
        errors += [f"{folder}/{n}" for n in before.keys() | now.keys() if before.get(n) != now.get(n)]
    errors += [f"left behind: {path.relative_to(project.root)}" for path in project.hidden_files()]
    lock = [p / "dvc.lock" for p in (project, reference)]
    if lock[1].exists() and lock[0].read_bytes() != lock[1].read_bytes():
        errors.append("dvc.lock")
    return sorted(errors) + cache_errors(project)


def cache_errors(project: Project) -> list[str]:
    """Return the files in DVC's cache whose content does not match the hash in their name."""
    errors = []
    for path in (project / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file() and not path.name.endswith(".tmp"):
            name = path.parent.name + path.name.removesuffix(".dir")
            if hashlib.md5(path.read_bytes()).hexdigest() != name:
                errors.append(f"DVC's cache: {name}")
    return errors
