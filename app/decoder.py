"""Decode uploaded files in separate processes with limits on time, memory and size."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from models.inference.decode import DecodedFile, decode_file, file_duration
from pipeline.engine import limits
from pipeline.engine.workers import watch_parent, worker_context
from pipeline.errors import UserError

TIMEOUT_SECONDS = 20.0  # to decode one file
MAX_MEMORY_BYTES = 4 << 30  # that a decoder may allocate; the largest picture needs a tenth of it
MAX_SECONDS = 600.0  # maximum duration of a file
MAX_FILE_BYTES = 100 << 20  # maximum size of a file
MAX_TASKS = 100  # files that a process decodes before a new one replaces it


class Decoder:
    """Decode files in other processes: a file that crashes one of them affects no other file.

    folder: the uploads. Files outside of it are not read, whatever path a browser sends. seconds: timeout for
    one file. work: the function that decodes a file in those processes, with the parameters config, path and
    start (s); by default `_read_limited`. pool: a pebble pool of `workers` processes.
    """

    def __init__(
        self,
        folder: Path,
        workers: int = 2,
        seconds: float = TIMEOUT_SECONDS,
        work: Callable[[dict[str, Any], str, float], DecodedFile] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.seconds = seconds
        self.work = work or _read_limited
        self.pool = ProcessPool(
            max_workers=workers,
            context=worker_context([decode_file.__module__]),
            initializer=_initialize_process,
            max_tasks=MAX_TASKS,
        )

    def read(self, config: dict[str, Any], path: str | Path, start: float = 0.0) -> DecodedFile:
        """Decode a file from `start` (s) on, for the model with this config.json.

        Raises UserError if the file is not in the folder of uploads, is too large, too long or broken, or
        takes too much time or memory.
        """
        input_config = {name: config[name] for name in ("input", "inputs")}
        name = Path(path).name
        if not (Path(path).resolve().is_relative_to(self.folder) and Path(path).is_file()):
            raise UserError(f"{name}: no such upload, or it was deleted: upload it again")
        try:
            return self.pool.schedule(
                self.work, args=[input_config, str(path), start], timeout=self.seconds
            ).result()
        except FutureTimeout:
            raise UserError(f"{name}: not decoded within {self.seconds:g} s: shorten or convert it") from None
        except (ProcessExpired, MemoryError):
            raise UserError(
                f"{name}: the decoder crashed on it: the file is broken or needs too much memory"
            ) from None

    def close(self) -> None:
        """Stop the processes. Files that are not decoded yet are cancelled."""
        self.pool.stop()
        self.pool.join()


def _initialize_process() -> None:
    """Prepare a decoder: it ignores Ctrl-C, has limits on memory and files, and ends with the page."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limits.limit_process(MAX_MEMORY_BYTES, MAX_FILE_BYTES)
    watch_parent()


def _read_limited(config: dict[str, Any], path: str, start: float) -> DecodedFile:
    """Decode a file from `start` (s) on. Raises UserError if it is too large, too long or broken.

    config: of the model. The messages contain the name of the file, but not its folder on this machine.
    """
    name = Path(path).name
    size = os.path.getsize(path)
    if size > MAX_FILE_BYTES:
        raise UserError(f"{name}: {size >> 20} MB: at most {MAX_FILE_BYTES >> 20} MB")
    seconds = file_duration(path)
    if seconds > MAX_SECONDS:
        raise UserError(
            f"{name}: {seconds / 60:.0f} minutes long: at most {MAX_SECONDS / 60:.0f}: shorten it"
        )
    try:
        return decode_file(config, path, start)
    except UserError as e:  # hide the path on this machine
        raise UserError(str(e).replace(path, name)) from None
