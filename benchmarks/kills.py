"""`kill -9` at random moments of `dvc repro`, again and again: is what comes out in the end the same?

`python -m benchmarks.kills [--kills N] [--seed S]` runs a tiny project once undisturbed. Then others, in
rounds of ten kills: each kill waits until a stage begins (those that make data by turns, and training) and
strikes at a random moment of it, the whole process group or the stage's own process alone; the next run goes
on. A round ends with a whole run. Fails where a byte of data, checkpoints or metrics, or a line of dvc.lock,
differs from the undisturbed run, where a file in DVC's cache is not what its name says, or where something is
left behind. Keeps the figures in benchmarks/results/kills.json.
"""

import argparse
import itertools
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks import result_files
from pipeline.config import data_stages
from testing.kills import OUTPUT_FOLDERS, TARGETS, Run, differences, init_dvc, run_to_end, run_with_kills
from testing.project import Project

AIMS = ("clips", *data_stages(), "quality", "split", "train")
ROUND = 10  # kills, after which a run is let go to its end


def measure(folder: Path, kills: int, seed: int) -> dict:
    rng = random.Random(seed)
    reference = init_dvc(Project.new(folder / "reference", **{"faces.enabled": True}))
    clean_root = folder / "clean"
    reference.copy(clean_root)
    durations = run_to_end(reference, TARGETS)
    stage_cycle = itertools.cycle(AIMS)
    kill_records, broken, rounds = [], [], 0
    while len(kill_records) < kills:
        rounds += 1
        stages = [next(stage_cycle) for _ in range(min(ROUND, kills - len(kill_records)))]
        project = Project(clean_root).copy(folder / f"round-{rounds}")
        for kill in run_with_kills(project, sorted(stages, key=AIMS.index), durations, rng):
            kill_records.append(kill)
            print(len(kill_records), kill, flush=True)
        broken += [f"round {rounds}: {what}" for what in differences(project, reference)]
        run = Run(project, TARGETS)
        if run.wait() or run.start_times:
            broken.append(f"round {rounds}: a further run has something to do: {[*run.start_times]}")
    return {
        "kills": len(kill_records),
        "seed": seed,
        "rounds": rounds,
        "while_running": dict(Counter(kill["running"] for kill in kill_records)),
        "of": {
            "the process group": sum(not k["alone"] for k in kill_records),
            "the stage": sum(k["alone"] for k in kill_records),
        },
        "torn_by_dvc": dict(Counter(name for kill in kill_records for name in kill["tore"])),
        "compared": [*OUTPUT_FOLDERS, "dvc.lock", "DVC's cache"],
        "files_compared": sum(len(reference.files(f)) for f in OUTPUT_FOLDERS),
        "broken": broken,
        "each": kill_records,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="earsight-kills-") as folder:
        result = measure(Path(folder), options.kills, options.seed)
    result_files.save("kills", result)
    print(f"{result['kills']} kills in {result['rounds']} rounds, while running {result['while_running']}")
    if result["broken"]:
        sys.exit("\n".join(result["broken"]))


if __name__ == "__main__":
    main()
