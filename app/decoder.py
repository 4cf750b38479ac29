"""Files that anybody may have brought, decoded in processes of their own, within bounds."""

import os
import signal
from concurrent.futures import TimeoutError as OutOfTime
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from models.inference.query import Query, Reader, duration, read
from pipeline.engine import limits
from pipeline.engine.workers import watch_parent, worker_context
from pipeline.errors import UserError

SECONDS = 20.0  # to decode one file
MEMORY = 4 << 30  # bytes that a decoder may ask for; a picture of the largest size takes a tenth of it
LONGEST = 600.0  # s that a file may last
LARGEST = 100 << 20  # bytes of a file


class Decoder:
    """`read` is models.inference.query.read in one of a few processes: a file that crashes one costs itself.

    folder: where what was brought lies. Nothing outside is read, whatever path a browser tells.
    """

    def __init__(
        self, folder: Path, workers: int = 2, seconds: float = SECONDS, work: Reader | None = None
    ) -> None:
        self.folder, self.seconds, self.work = folder.resolve(), seconds, work or _bounded
        self.pool = ProcessPool(
            max_workers=workers,
            context=worker_context([read.__module__]),
            initializer=_start,
            max_tasks=100,
        )

    def read(self, config: dict[str, Any], path: str | Path, start: float = 0.0) -> Query:
        """Raises UserError where the file is none that was brought, too large or too long, or broken."""
        needed = {name: config[name] for name in ("input", "inputs")}
        name = Path(path).name
        if not (Path(path).resolve().is_relative_to(self.folder) and Path(path).is_file()):
            raise UserError(f"{name}: not here, or not any more: bring it again")
        try:
            return self.pool.schedule(
                self.work, args=[needed, str(path), start], timeout=self.seconds
            ).result()
        except OutOfTime:
            raise UserError(f"{name}: not decoded after {self.seconds:g} s: cut it, or convert it") from None
        except (ProcessExpired, MemoryError):
            raise UserError(
                f"{name}: the decoder crashed on it: it is broken, or asks for too much"
            ) from None

    def close(self) -> None:
        self.pool.stop()
        self.pool.join()


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limits.limit_process(MEMORY, LARGEST)
    watch_parent()


def _bounded(config: dict[str, Any], path: str, start: float) -> Query:
    name = Path(path).name
    size = os.path.getsize(path)
    if size > LARGEST:
        raise UserError(f"{name}: {size >> 20} MB: at most {LARGEST >> 20} MB")
    seconds = duration(path)
    if seconds > LONGEST:
        raise UserError(f"{name}: {seconds / 60:.0f} minutes long: at most {LONGEST / 60:.0f}: cut it")
    try:
        return read(config, path, start)
    except UserError as e:  # not where it lies on this machine
        raise UserError(str(e).replace(path, name)) from None
