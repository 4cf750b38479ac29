"""A data stage for tests: the `kind` of a clip determines its outcome."""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.engine import runner
from pipeline.errors import UserError
from pipeline.store import resume
from pipeline.store.formats import Arrays
from pipeline.store.shards import Shards
from pipeline.store.status import Outcome, failed


@dataclass
class Engine:
    """The section of params.yaml."""

    workers: int | None = 2
    timeout: float = 3.0
    name: str = "local"
    address: str | None = None
    storage: str | None = None


def step(clips: list[dict], values: list):
    for clip in clips:
        kind = clip["kind"]
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif kind == "hang":
            time.sleep(600)
        elif kind == "greedy":
            np.ones(1 << 40, np.uint8)
        elif kind == "slow":
            time.sleep(0.1)
        if kind == "corrupt":
            yield failed("corrupt", "not a clip")
        else:
            number = int(clip["clip_id"].split("-")[1])
            yield Outcome(value=np.full((2, 3), number, dtype=np.float16), extra={"seconds": 1.5})


def job(folder: Path, fingerprint: str = "v1", upstream: Shards | None = None) -> runner.Job:
    shards = Shards(folder, Arrays((2, 3), "float16"), (("seconds", pa.float64()),))
    return runner.Job("toy", step, shards, fingerprint, upstream)


def clips(*kinds: str, first: int = 0) -> list[dict]:
    return [{"clip_id": f"clip-{i}", "kind": kind} for i, kind in enumerate(kinds, first)]


def main() -> None:
    """python -m testing.toy_stage FOLDER ENGINE KIND ...: run in a process that can be killed."""
    folder, how, *kinds = sys.argv[1:]
    resume.FOLDER = f"{folder}-resume"
    try:
        runner.run(job(Path(folder)), clips(*kinds), 4, Engine(**json.loads(how)))
    except UserError as e:
        sys.exit(f"ERROR: {e}")


if __name__ == "__main__":
    from testing import toy_stage  # under the name that workers know its step by

    toy_stage.main()
