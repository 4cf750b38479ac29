"""A data stage as it is, that notes what each clip took: STAGE NOTES LIMIT are the arguments of `main`.

A line of NOTES for each clip that the step ended with: clip_id, seconds, its process and the most bytes that
this one held up to then. A run that is not done after LIMIT s says where it hangs, and ends.
"""

import faulthandler
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Timed:
    """A step that takes one clip at a time, and notes it."""

    step: Any
    notes: str

    def __call__(self, clips: list[dict], values: list) -> Iterator[Any]:
        made = self.step(clips, values)
        for clip in clips:
            began = time.perf_counter()
            outcome = next(made)
            seconds = time.perf_counter() - began
            held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            line = json.dumps([clip["clip_id"], round(seconds, 4), os.getpid(), held]) + "\n"
            note = os.open(self.notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(note, line.encode())  # at once: workers write side by side
            finally:
                os.close(note)
            yield outcome


def main() -> None:
    name, notes, limit = sys.argv[1:]
    faulthandler.dump_traceback_later(float(limit), exit=True)
    from pipeline.cli import run
    from pipeline.engine import runner

    module = importlib.import_module(f"stages.{name}")
    whole = runner.run

    def noting(job, *rest):
        return whole(replace(job, step=Timed(job.step, str(Path(notes).absolute()))), *rest)

    runner.run = noting
    run(getattr(module, name))
