"""Clean runs of the default experiment on this machine: are they the same?

`python -m benchmarks.determinism [--runs N] [--workers 1 2] [--engine local ray] [--clips N] [--epochs N]
[--decoder D]` runs `dvc repro evaluate index` in folders of their own, N times for each engine with each
number of workers, nothing cached. Fails where the hash of an output of a data stage in dvc.lock is not the
same in all, or where a metric differs by more than 1e-6. Keeps the figures in
benchmarks/results/determinism.json.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks import result_files
from pipeline.config import ROOT
from testing.kills import init_dvc, run_to_end
from testing.project import Project

TARGETS = ("evaluate", "index")
METRICS = ("clips", "evaluate", "index", "train/metrics")
# Of these only the metrics are compared; the outputs of all other stages must be equal.
TRAINED_STAGES = ("pretrain", "train", "evaluate", "index")
TOLERANCE = 1e-6


def run_pipeline(folder: Path, code: Path, changes: dict[str, Any]) -> dict:
    """One run: out -> hash as in dvc.lock, metric -> value, and what it took, s."""
    project = init_dvc(Project(code).copy(folder))
    project.set(changes)
    start = time.monotonic()
    run_to_end(project, TARGETS)
    seconds = time.monotonic() - start
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    outs = {s: {o["path"]: o["md5"] for o in entry.get("outs", [])} for s, entry in lock.items()}
    metrics = {}
    for name in METRICS:
        metrics |= flatten(json.loads((project / f"metrics/{name}.json").read_text()), name)
    shutil.rmtree(folder)
    return {"outs": outs, "metrics": metrics, "seconds": round(seconds)}


def flatten(value: Any, name: str) -> dict[str, Any]:
    """Nested values by their names, joined with dots."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, inner in items for k, v in flatten(inner, f"{name}.{key}").items()}
    return {name: value}


def metric_distance(a: Any, b: Any) -> float:
    """How far two metrics are apart; what are no numbers are the same or not."""
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b)
    return 0.0 if a == b else float("inf")


def measure(folder: Path, engines: list[dict[str, Any]], changes: dict[str, Any]) -> dict:
    code = Project.new(folder / "code").root
    shutil.copy(ROOT / "params.yaml", code / "params.yaml")
    runs = []
    for number, engine in enumerate(engines):
        run = run_pipeline(folder / str(number), code, changes | engine)
        runs.append(engine | run)
        print(f"{engine}: {run['seconds']} s", flush=True)
    first = runs[0]
    data = {s: outs for s, outs in first["outs"].items() if s not in TRAINED_STAGES}
    trained_outputs = {s: outs for s, outs in first["outs"].items() if s in TRAINED_STAGES}
    broken, max_distance = [], 0.0
    for number, other in enumerate(runs[1:], 1):
        for stage, outs in data.items():
            other_outs = other["outs"].get(stage, {})
            broken += [f"run {number}: {stage}: {out}" for out in outs if outs[out] != other_outs.get(out)]
        for name in first["metrics"].keys() | other["metrics"].keys():
            distance = metric_distance(first["metrics"].get(name), other["metrics"].get(name))
            max_distance = max(max_distance, distance)
            if distance > TOLERANCE:
                broken.append(f"run {number}: {name}: {distance:g} apart")
    same = all(other["outs"].get(s) == outs for other in runs for s, outs in trained_outputs.items())
    return {
        "runs": [{k: v for k, v in run.items() if k not in ("outs", "metrics")} for run in runs],
        "data_stages": data,
        "metrics_compared": len(first["metrics"]),
        "metrics_farthest_apart": max_distance,
        "bound": TOLERANCE,
        "weights_and_embeddings_the_same": same,
        "broken": sorted(broken),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1, help="of each engine with each number of workers")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engine", nargs="+", default=["local", "ray"], help="engine.name")
    parser.add_argument("--clips", type=int, help="data.ensemble.clips")
    parser.add_argument("--epochs", type=int, help="train.epochs")
    parser.add_argument("--decoder", help="media.decoder")
    options = parser.parse_args()
    engines = [
        {"engine.name": name, "engine.workers": workers}
        for name in options.engine
        for workers in options.workers
        for _ in range(options.runs)
    ]
    changes = {
        "data.ensemble.clips": options.clips,
        "train.epochs": options.epochs,
        "media.decoder": options.decoder,
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    with tempfile.TemporaryDirectory(prefix="earsight-determinism-") as folder:
        result = measure(Path(folder), engines, changes)
    result_files.save("determinism", {"changes": changes} | result)
    print(f"{len(engines)} runs; metrics at most {result['metrics_farthest_apart']:g} apart")
    if result["broken"]:
        sys.exit("\n".join(result["broken"]))


if __name__ == "__main__":
    main()
