"""`kill -9` at random moments of `dvc repro`: is what comes out in the end the same?"""

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

from testing.project import Project

TARGETS = ("evaluate", "index")
MADE = ("data", "pretrained", "checkpoints", "metrics")
LONGEST = 3600.0  # s that one run may take


@dataclass
class Run:
    """`dvc repro` as it goes. began: stage -> when, s (monotonic)."""

    project: Project
    targets: tuple[str, ...]
    process: subprocess.Popen = field(init=False)
    began: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    ended: float = 0.0

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
            self.said.append(line)
            if line.startswith("Running stage '"):
                self.began[line.split("'")[1]] = time.monotonic()

    @property
    def running(self) -> str:
        """The stage that began last."""
        return max(self.began, key=self.began.__getitem__, default="dvc")

    def wait(self) -> int:
        try:
            code = self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self.ended = time.monotonic()
        for reader in self.readers:
            reader.join()
        return code

    def kill(self, alone: bool) -> bool:
        """The process group, or the stage's own process alone. False where the run had ended by itself."""
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
            return next((p for p in family if f"stages.{self.running}" in p.cmdline()), None)
        except psutil.NoSuchProcess:
            return None


def begin(project: Project) -> Project:
    """Make DVC know it."""
    for words in (["init", "--no-scm", "--quiet"], ["config", "core.analytics", "false"]):
        _, err = project.start("dvc", *words).communicate()
        if err:
            raise RuntimeError(err)
    return project


def whole(project: Project, targets: tuple[str, ...]) -> dict[str, float]:
    """Run to the end; how long each stage took, s."""
    run = Run(project, targets)
    if run.wait():
        raise RuntimeError("dvc repro: " + "".join(run.said[-20:]))
    times = [*sorted(run.began.values()), run.ended]
    return {stage: times[times.index(at) + 1] - at for stage, at in run.began.items()}


def disturbed(
    project: Project,
    aims: list[str],
    lasts: dict[str, float],
    rng: random.Random,
    targets: tuple[str, ...] = TARGETS,
) -> Iterator[dict]:
    """Kill a run at a random moment of each of `aims`, and go on; then run to the end. Yields each kill.

    lasts: how long each stage takes, s, in their order. Where an aim has nothing to do any more, the next
    stage that has is struck.
    """
    order = list(lasts)
    for aim in aims:
        run = Run(project, targets)
        later = order[order.index(aim) :]
        while not (met := [s for s in later if s in run.began]) and run.process.poll() is None:
            time.sleep(0.005)
        moment = rng.uniform(0, lasts[met[0] if met else aim])
        alone = rng.random() < 0.3
        end = time.monotonic() + moment
        while time.monotonic() < end and run.process.poll() is None:
            time.sleep(0.005)
        running = run.running
        if run.kill(alone):
            yield {
                "running": running,
                "after_s": round(moment, 2),
                "alone": alone,
                "tore": mend(project),
            }
        elif run.wait():
            raise RuntimeError("dvc repro, not killed: " + "".join(run.said[-20:]))
    whole(project, targets)


def mend(project: Project) -> list[str]:
    """Delete what DVC tore, as one would, and return it.

    DVC empties dvc.lock, and its note of who is at work, before it writes them anew: a kill between leaves a
    file that it refuses. What stages had finished is in their own folders, and kept.
    """
    torn = [
        n for n in ("dvc.lock", ".dvc/tmp/rwlock") if (project / n).exists() and not _readable(project / n)
    ]
    for name in torn:
        (project / name).unlink()
    return torn


def _readable(path: Path) -> bool:
    try:
        found = yaml.safe_load(path.read_text())
    except yaml.YAMLError:
        return False
    return isinstance(found, dict) and (path.name != "dvc.lock" or bool(found.get("stages")))


def differences(project: Project, reference: Project, folders: tuple[str, ...] = MADE) -> list[str]:
    """What is other than after an undisturbed run, or should not be there."""
    found = []
    for folder in folders:
        before, now = reference.files(folder), project.files(folder)
        found += [f"{folder}/{n}" for n in before.keys() | now.keys() if before.get(n) != now.get(n)]
    found += [f"left behind: {path.relative_to(project.root)}" for path in project.hidden_files()]
    lock = [p / "dvc.lock" for p in (project, reference)]
    if lock[1].exists() and lock[0].read_bytes() != lock[1].read_bytes():
        found.append("dvc.lock")
    return sorted(found) + cache(project)


def cache(project: Project) -> list[str]:
    """Files in DVC's cache that are not what their names say."""
    found = []
    for path in (project / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file() and not path.name.endswith(".tmp"):
            name = path.parent.name + path.name.removesuffix(".dir")
            if hashlib.md5(path.read_bytes()).hexdigest() != name:
                found.append(f"DVC's cache: {name}")
    return found
