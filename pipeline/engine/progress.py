"""Progress of a stage: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

EVERY = 15.0  # seconds between plain lines


class Progress:
    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self.name, self.total, self.done = name, total, done
        self.first, self.began = done, time.monotonic()
        self.last = self.began
        self.bar: Any = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            rate = TextColumn("{task.fields[rate]:.0f} clips/s")
            self.bar = Bar(
                *columns, rate, TimeRemainingColumn(), console=Console(stderr=True), transient=True
            )
            self.bar.start()
            self.task = self.bar.add_task(self.name, total=self.total, completed=self.done, rate=0.0)
        return self

    def advance(self, clips: int) -> None:
        self.done += clips
        now = time.monotonic()
        rate = (self.done - self.first) / max(now - self.began, 1e-9)
        if self.bar:
            self.bar.update(self.task, completed=self.done, rate=rate)
        elif now - self.last >= EVERY:
            self.last = now
            left = (self.total - self.done) / max(rate, 1e-9)
            print(
                f"{self.name}: {self.done} of {self.total} clips, {rate:.1f} clips/s, {left:.0f} s left",
                flush=True,
            )

    def __exit__(self, *_) -> None:
        if self.bar:
            self.bar.stop()
