"""Run and measure stages and commands as a user runs them, in a project in a temporary folder."""

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
SAMPLING_INTERVAL = 0.02  # s between two readings of the memory of processes


@dataclass
class Cost:
    """The cost of a command. wall, cpu: s, cpu with all child processes. peaks: role -> bytes (RSS)."""

    wall: float
    cpu: float
    peaks: dict[str, int] = field(default_factory=dict)
    output: str = ""


def write_project(folder: Path, videos: list[Path], rows: int, workers: int, **settings: Any) -> None:
    """Write params.yaml and a clip table of `rows` rows of the videos. settings: parameters by key."""
    settings |= {"data.source": "folder", "data.folder": str(videos[0].parent), "engine.workers": workers}
    set_params(folder, settings)
    (folder / "data").mkdir(exist_ok=True)
    blank = dict.fromkeys(["start", "end", "subject", "split"])
    table = []
    for i in range(rows):
        path = str(videos[i % len(videos)])
        table.append({"clip_id": f"clip-{i}", "audio": path, "video": path, "labels": [], **blank})
    write_table(clip_table.from_rows(table), folder / "data/clips.parquet")


def set_params(folder: Path, settings: dict[str, Any]) -> None:
    """Set keys of params.yaml in `folder`; without such a file, start from a copy of the project's own."""
    if not (folder / "params.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "params.yaml", folder)
    Project(folder).set(settings)


def measure_stage(folder: Path, name: str, cores: set[int] | None = None, watch: bool = False) -> Cost:
    """Run one stage in `folder`; raise RuntimeError if it fails."""
    return measure_command(folder, [sys.executable, "-m", f"stages.{name}"], cores, watch)


def measure_command(
    folder: Path, command_line: list[str], cores: set[int] | None = None, watch: bool = False
) -> Cost:
    """Run a command in `folder`, on these cores only; `watch`: record the memory peaks of its processes."""
    # Without bytecode files every process compiles the code again: that time is not to be measured.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    # Orphaned processes become children of this one, which waits for them: their CPU time counts too.
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    earlier_processes = set(_process_roles(os.getpid()))
    with use_cores(cores):
        start = time.perf_counter()
        process = subprocess.Popen(
            command_line, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        )
    peaks: dict[str, int] = {}
    stop = threading.Event()
    if watch:
        watcher = threading.Thread(target=_record_peaks, args=(process.pid, peaks, stop))
        watcher.start()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    while (
        set(_process_roles(os.getpid())) - earlier_processes
    ):  # the server that forks workers ends after its parent
        with suppress(ChildProcessError):
            usage = os.wait3(os.WNOHANG)[2]
            cpu += usage.ru_utime + usage.ru_stime
        time.sleep(0.005)
    stop.set()
    if watch:
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command_line[1:])}: exit status {process.returncode}")
    return Cost(wall, cpu, peaks, output)


@contextmanager
def use_cores(cores: set[int] | None):
    """Run child processes started inside on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _record_peaks(root: int, peaks: dict[str, int], stop: threading.Event) -> None:
    samples: dict[int, list[tuple[str, int]]] = defaultdict(list)
    while not stop.wait(SAMPLING_INTERVAL):
        for process, role in _process_roles(root).items():
            with suppress(OSError, StopIteration, ValueError):
                status = Path(f"/proc/{process}/status").read_text()
                line = next(part for part in status.splitlines() if part.startswith("VmHWM"))
                samples[process].append((role, int(line.split()[1]) * 1024))
    for process_samples in samples.values():
        # The last sample of a process has its peak. A single sample may be that of the copy of its parent.
        if len(process_samples) > 1:
            role, peak = process_samples[-1]
            peaks[role] = max(peaks.get(role, 0), peak)


def _process_roles(root: int) -> dict[int, str]:
    """Return `root` and its descendants, each with its role: parent or worker."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1]
                children[int(fields.split()[1])].append(int(entry.name))
    roles, queue = {root: "parent"}, [root]
    while queue:
        for child in children[queue.pop()]:
            roles[child] = "worker"
            queue.append(child)
    return roles


def measure_seconds(function: Callable[[], object]) -> float:
    """Return the wall time of a call, in s."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
