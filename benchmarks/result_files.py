"""Results of benchmarks in benchmarks/results, each with its command and the machine that made it."""

import os
import platform
import sys
from pathlib import Path

import av

from pipeline.media import ffmpeg
from pipeline.store.metric_files import write_json


def save(name: str, results: dict, only: str | None = None) -> None:
    """Write a benchmark's results with the command that made them. only: the part that was measured anew, and
    then has its own."""
    metadata = {"command": " ".join([f"python -m benchmarks.{name}", *sys.argv[1:]]), "machine": machine()}
    results = (
        results | {only: results[only] | metadata}
        if only
        else {"command": metadata["command"]} | results | metadata
    )
    write_json(results, Path(f"benchmarks/results/{name}.json"))


def machine() -> dict:
    """Describe the machine: what the results depend on, besides the code."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "pyav": av.__version__,
        "ffmpeg": ".".join(map(str, ffmpeg.version(ffmpeg.binary()))),
    }
