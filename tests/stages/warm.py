"""Stages, started by a server that has imported what is slow to import: most of their time is that."""

import multiprocessing
import os
import runpy
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SLOW = ["dvclive", "lightning", "torchmetrics.functional.classification"]  # torch, scipy, pandas too
SLOW += ["av", "cv2", "pebble", "pyarrow.dataset", "pyarrow.parquet", "pydantic", "scipy.signal", "yaml"]
OURS = ("models", "pipeline", "stages")

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(SLOW)


class Warm:
    """`python -m stages.NAME` in a project, as subprocess.Popen would do it; its output goes into files."""

    def __init__(self, root: Path, command: list[str]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.said = [Path(self.folder.name, name) for name in ("out", "err")]
        self.process = CONTEXT.Process(target=_run, args=(str(root), command, self.said))
        self.process.start()
        self.pid = self.process.pid
        self.kill = self.process.kill

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, ...]:
        self.process.join(timeout)
        assert self.returncode is not None, "not done in time"
        return tuple(path.read_text() for path in self.said)

    @property
    def stdout(self) -> Iterator[str]:
        """Line by line, as they come."""
        done = 0
        while True:
            ended = self.returncode is not None
            lines = self.said[0].read_text().splitlines() if self.said[0].exists() else []
            yield from lines[done:]
            if ended:
                return
            done = len(lines)
            time.sleep(0.005)


def _run(root: str, command: list[str], said: list[Path]) -> None:
    import torch

    torch.set_num_threads(1)
    os.setsid()
    os.chdir(root)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    for name in [m for m in sys.modules if m.split(".")[0] in OURS]:
        del sys.modules[name]
    sys.path.insert(0, root)
    module, *sys.argv[1:] = command
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
