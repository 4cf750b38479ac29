"""Progress of a stage: a bar with rate and remaining time on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

INTERVAL = 15.0  # s between plain lines


class Progress:
    """Context manager that shows the progress of a stage.

    name: of the stage. total: number of clips. completed: number of clips that need no work; they do not
    count in the rate.
    """

    def __init__(self, name: str, total: int, completed: int = 0) -> None:
        self.name = name
        self.total = total
        self.completed = completed  # grows with each call of `advance`
        self.initially_completed = completed
        self.start_time = time.monotonic()
        self.last_print = self.start_time  # when the last plain line was printed
        self.bar: Any = None  # rich's bar; None unless stderr is a terminal

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
            self.task = self.bar.add_task(self.name, total=self.total, completed=self.completed, rate=0.0)
        return self

    def advance(self, clips: int) -> None:
        """Count `clips` more clips as completed."""
        self.completed += clips
        now = time.monotonic()
        rate = (self.completed - self.initially_completed) / max(now - self.start_time, 1e-9)
        if self.bar:
            self.bar.update(self.task, completed=self.completed, rate=rate)
        elif now - self.last_print >= INTERVAL:
            self.last_print = now
            remaining = (self.total - self.completed) / max(rate, 1e-9)
            counts = f"{self.completed} of {self.total} clips, {rate:.1f} clips/s"
            print(f"{self.name}: {counts}, {remaining:.0f} s left", flush=True)

    def __exit__(self, *_) -> None:
        if self.bar:
            self.bar.stop()
