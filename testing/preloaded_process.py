"""Start stages from a fork server that has imported the slow libraries: imports are most of their time."""

import multiprocessing.util
import os
import runpy
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

PROJECT_PACKAGES = ("experiments", "models", "pipeline", "stages", "testing", "tests")
# One thread: sums are in the same order, and threads do not wait for each other on a busy machine.
TEST_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}
TEST_ENVIRONMENT |= dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), os.devnull)

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["testing.preloaded_modules"])


class PreloadedProcess:
    """Run `python -m NAME` in a project, like subprocess.Popen; its output goes into files."""

    def __init__(
        self,
        root: Path,
        command: list[str],
        env: dict[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start the process. prepare: a function of a module that it calls first."""
        self.folder = tempfile.TemporaryDirectory()
        self.output_files = [Path(self.folder.name, name) for name in ("out", "err")]
        for path in self.output_files:
            path.touch()  # a kill may come before any output
        self.process = CONTEXT.Process(
            target=_run,
            args=(str(root), command, self.output_files, TEST_ENVIRONMENT | (env or {}), prepare),
        )
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
        return tuple(path.read_text() for path in self.output_files)

    @property
    def stdout(self) -> Iterator[str]:
        return self._lines(self.output_files[0])

    @property
    def stderr(self) -> Iterator[str]:
        return self._lines(self.output_files[1])

    def _lines(self, path: Path) -> Iterator[str]:
        """Yield the lines of a file as the process writes them."""
        n_lines = 0
        while True:
            ended = self.returncode is not None
            lines = path.read_text().splitlines()
            yield from lines[n_lines:]
            if ended:
                return
            n_lines = len(lines)
            time.sleep(0.005)


def _run(
    root: str,
    command: list[str],
    output_files: list[Path],
    env: dict[str, str],
    prepare: Callable[[], None] | None,
) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ |= env
    multiprocessing.util.spawnv_passfds = _fork
    os.setsid()
    os.chdir(root)
    for number, path in enumerate(output_files, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    if prepare:
        prepare()
    for name in [m for m in sys.modules if m.split(".")[0] in PROJECT_PACKAGES]:
        del sys.modules[name]
    sys.path.insert(0, root)
    module, *sys.argv[1:] = command
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _fork(_: str, command_line: list[str], open_descriptors: list[int]) -> int:
    """Replace multiprocessing's spawn, of its fork server for example, by a fork with the imports done."""
    if child := os.fork():
        return child
    try:
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            if descriptor > 2 and descriptor not in open_descriptors:
                with suppress(OSError):
                    os.close(descriptor)
        exec(command_line[command_line.index("-c") + 1], {})
    finally:
        os._exit(0)
