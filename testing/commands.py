"""A project in a temporary folder, whose stages are run and measured as a user runs them."""

import ctypes
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import ROOT
from pipeline.store import clip_table
from pipeline.store.atomic import write_table
from testing.project import Project

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux
EVERY = 0.02  # s between two looks at the memory of processes


@dataclass
class Cost:
    """What a command took. wall, cpu: s, cpu with all that it started. peaks: role -> bytes (RSS)."""

    wall: float
    cpu: float
    peaks: dict[str, int] = field(default_factory=dict)
    said: str = ""


def make(folder: Path, films: list[Path], rows: int, workers: int, **knobs: Any) -> None:
    """Write params.yaml and a clip table of `rows` rows that take the films in turn. knobs: by their keys."""
    knobs |= {"data.source": "folder", "data.folder": str(films[0].parent), "engine.workers": workers}
    turn(folder, knobs)
    (folder / "data").mkdir(exist_ok=True)
    blank = dict.fromkeys(["start", "end", "subject", "split"])
    table = []
    for i in range(rows):
        path = str(films[i % len(films)])
        table.append({"clip_id": f"clip-{i}", "audio": path, "video": path, "labels": [], **blank})
    write_table(clip_table.from_rows(table), folder / "data/clips.parquet")


def turn(folder: Path, knobs: dict[str, Any]) -> None:
    """Set keys of params.yaml in `folder`; where it has none, beginning with the project's own."""
    if not (folder / "params.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "params.yaml", folder)
    Project(folder).set(knobs)


def stage(folder: Path, name: str, cores: set[int] | None = None, watch: bool = False) -> Cost:
    """Run one stage in `folder`; raises RuntimeError where it fails."""
    return command(folder, [sys.executable, "-m", f"stages.{name}"], cores, watch)


def command(folder: Path, words: list[str], cores: set[int] | None = None, watch: bool = False) -> Cost:
    """Run a command in `folder`, on these cores only; with `watch`, look at the memory of its processes."""
    # Bytecode that Python may not keep is compiled again by every process, which nobody measures on purpose.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    # What loses its parent becomes ours, and is waited for: the processor time of all is counted.
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    before = set(_family(os.getpid()))
    with on(cores):
        began = time.perf_counter()
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    peaks: dict[str, int] = {}
    over = threading.Event()
    if watch:
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks, over))
        watcher.start()
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    while set(_family(os.getpid())) - before:  # the server that forks workers ends after its parent
        with suppress(ChildProcessError):
            used = os.wait3(os.WNOHANG)[2]
            cpu += used.ru_utime + used.ru_stime
        time.sleep(0.005)
    over.set()
    if watch:
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words[1:])}: exit status {process.returncode}")
    return Cost(wall, cpu, peaks, said)


@contextmanager
def on(cores: set[int] | None):
    """What is started inside runs on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _watch(root: int, peaks: dict[str, int], over: threading.Event) -> None:
    seen: dict[int, list[tuple[str, int]]] = defaultdict(list)
    while not over.wait(EVERY):
        for process, role in _family(root).items():
            with suppress(OSError, StopIteration, ValueError):
                status = Path(f"/proc/{process}/status").read_text()
                line = next(part for part in status.splitlines() if part.startswith("VmHWM"))
                seen[process].append((role, int(line.split()[1]) * 1024))
    for sights in seen.values():
        # The last sight of a process has its peak. One that was seen but once was its parent's copy, maybe.
        if len(sights) > 1:
            role, peak = sights[-1]
            peaks[role] = max(peaks.get(role, 0), peak)


def _family(root: int) -> dict[int, str]:
    """The processes under `root`, with their roles: parent, worker."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, IndexError):
                rest = (entry / "stat").read_text().rsplit(")", 1)[1]
                children[int(rest.split()[1])].append(int(entry.name))
    found, todo = {root: "parent"}, [root]
    while todo:
        for child in children[todo.pop()]:
            found[child] = "worker"
            todo.append(child)
    return found


def seconds(function: Callable[[], object]) -> float:
    """What it takes, by the clock."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
