"""Stages, started by a server that has imported what is slow to import: most of their time is that."""

import multiprocessing.util
import os
import runpy
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OURS = ("experiments", "models", "pipeline", "stages", "testing", "tests")
# One thread: the same sums in the same order, and no waiting for each other on a busy machine.
HERE = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}
HERE |= dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), os.devnull)

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["testing.preloaded"])


class Warm:
    """`python -m NAME` in a project, as subprocess.Popen would do it; its output goes into files."""

    def __init__(self, root: Path, command: list[str], env: dict[str, str] | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.said = [Path(self.folder.name, name) for name in ("out", "err")]
        for path in self.said:
            path.touch()  # it may be killed before it says anything
        self.process = CONTEXT.Process(target=_run, args=(str(root), command, self.said, HERE | (env or {})))
        self.process.start()
        self.pid = self.process.pid
        self.kill = self.process.kill

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        assert self.returncode is not None, "not done in time"
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, ...]:
        self.wait(timeout)
        return tuple(path.read_text() for path in self.said)

    @property
    def stdout(self) -> Iterator[str]:
        return self._lines(self.said[0])

    @property
    def stderr(self) -> Iterator[str]:
        return self._lines(self.said[1])

    def _lines(self, path: Path) -> Iterator[str]:
        """Line by line, as they come."""
        done = 0
        while True:
            ended = self.returncode is not None
            lines = path.read_text().splitlines()
            yield from lines[done:]
            if ended:
                return
            done = len(lines)
            time.sleep(0.005)


def _run(root: str, command: list[str], said: list[Path], env: dict[str, str]) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ |= env
    multiprocessing.util.spawnv_passfds = _fork
    os.setsid()
    os.chdir(root)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    for name in [m for m in sys.modules if m.split(".")[0] in OURS]:
        del sys.modules[name]
    sys.path.insert(0, root)
    module, *sys.argv[1:] = command
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _fork(_: str, words: list[str], files: list[int]) -> int:
    """As multiprocessing starts Python, for its server of workers say: what that imports is here already."""
    if child := os.fork():
        return child
    try:
        for file in map(int, os.listdir("/proc/self/fd")):
            if file > 2 and file not in files:
                with suppress(OSError):
                    os.close(file)
        exec(words[words.index("-c") + 1], {})
    finally:
        os._exit(0)
