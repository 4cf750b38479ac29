"""Decode uploaded files in separate processes with limits on time, memory and size."""

import os
import signal
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from models.inference.decode import DecodedFile, Reader, decode_file, file_duration
from pipeline.engine import limits
from pipeline.engine.workers import watch_parent, worker_context
from pipeline.errors import UserError

SECONDS = 20.0  # to decode one file
MEMORY = 4 << 30  # bytes that a decoder may allocate; the largest picture needs a tenth of it
LONGEST = 600.0  # s: maximum duration of a file
LARGEST = 100 << 20  # bytes: maximum size of a file


class Decoder:
    """Processes that run models.inference.decode.decode_file: a file that crashes one affects no other file.

    folder: the uploads. Files outside are not read, whatever path a browser sends.
    """

    def __init__(
        self, folder: Path, workers: int = 2, seconds: float = SECONDS, work: Reader | None = None
    ) -> None:
        self.folder, self.seconds, self.work = folder.resolve(), seconds, work or _read_limited
        self.pool = ProcessPool(
            max_workers=workers,
            context=worker_context([decode_file.__module__]),
            initializer=_start,
            max_tasks=100,
        )

    def read(self, config: dict[str, Any], path: str | Path, start: float = 0.0) -> DecodedFile:
        """Decode a file. Raises UserError if it is no upload, too large, too long or broken."""
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
        self.pool.stop()
        self.pool.join()


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limits.limit_process(MEMORY, LARGEST)
    watch_parent()


def _read_limited(config: dict[str, Any], path: str, start: float) -> DecodedFile:
    name = Path(path).name
    size = os.path.getsize(path)
    if size > LARGEST:
        raise UserError(f"{name}: {size >> 20} MB: at most {LARGEST >> 20} MB")
    seconds = file_duration(path)
    if seconds > LONGEST:
        raise UserError(f"{name}: {seconds / 60:.0f} minutes long: at most {LONGEST / 60:.0f}: shorten it")
    try:
        return decode_file(config, path, start)
    except UserError as e:  # hide the path on this machine
        raise UserError(str(e).replace(path, name)) from None
