"""What is not the work itself: `python -m benchmarks.overheads`, after `dvc repro`.

- `nothing_to_do`: `dvc repro` where all is up to date, beside `dvc status` in an empty repository.
- `start`: each data stage on one clip, from the command to its end, and whether it imports torch.
- `append`: the data stages over N clips, then over N and 1% more. What the start of the stages takes
  (`nothing_more_s`) is a share of it that shrinks as N grows.
- `training`: of the time that the stage `train` takes in its loop, how much is not the model (its forward and
  backward pass, its optimizer, in validation its forward pass).
- `after_training`: `evaluate` and `report` beside `train`, all on the default data.
- `small`: every stage on 60 clips with one epoch of training, from the command to its end, and how much of
  that is imports in the stages that need torch (`train`, `evaluate`, `index`).
"""

import argparse
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import films, result_files
from pipeline.config import ROOT, data_stages, stage_names
from testing import commands
from testing.project import DATA_STAGES

RESULT = Path("benchmarks/results/overheads.json")
GOALS = {
    "nothing_to_do": "at most 2 s more than dvc status in an empty repository",
    "start": "1.5 s, without torch",
    "append": "under 3% of the whole",
    "training": "under 5%",
    "after_training": "under 20% of training",
    "small": "known",
}


def seconds(*words: str, folder: Path = ROOT) -> float:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    began = time.perf_counter()
    subprocess.run(words, cwd=folder, check=True, capture_output=True, env=environment)
    return time.perf_counter() - began


def nothing_to_do(folder: Path, rounds: int = 5) -> dict:
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    seconds("dvc", "init", "--quiet", folder=folder)
    output = subprocess.run(["dvc", "repro"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if "up to date" not in output:
        raise SystemExit("something was to do: run again")
    times = [(seconds("dvc", "repro"), seconds("dvc", "status", folder=folder)) for _ in range(rounds)]
    repro, status = (statistics.median(one) for one in zip(*times, strict=True))
    return {
        "repro_s": round(repro, 2),
        "empty_status_s": round(status, 2),
        "more_s": round(repro - status, 2),
    }


def start(folder: Path) -> dict:
    paths = films.write_videos(folder / "films", 1)
    results = {}
    commands.write_project(folder, paths, 1, 1, **{"faces.enabled": True})
    outputs = data_stages() | {"quality": "data/quality.parquet", "split": "data/splits.parquet"}
    for name in outputs:
        commands.measure_stage(folder, name)  # compiled, and read from the disk
    for name, output in outputs.items():
        shutil.rmtree(folder / output, ignore_errors=True)
        cost = commands.measure_stage(folder, name)
        words = [sys.executable, "-X", "importtime", "-m", f"stages.{name}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, env=environment, check=True
        )
        results[name] = {"s": round(cost.wall, 2), "torch": "| torch\n" in process.stderr}
    return results


def append(folder: Path, rows: int) -> dict:
    """The same films under other names; one worker for each core."""
    paths = films.write_videos(folder / "films", 120)
    more = rows + rows // 100

    def run(count: int) -> dict[str, float]:
        commands.write_project(folder, paths, count, len(os.sched_getaffinity(0)))
        commands.measure_stage(folder, "download")
        return {name: commands.measure_stage(folder, name).wall for name in DATA_STAGES[1:]}

    whole = run(rows)
    added, nothing = run(more), run(more)
    total, few, start = (sum(one.values()) for one in (whole, added, nothing))
    return {
        "whole_s": round(total, 2),
        "one_percent_more_s": round(few, 2),
        "nothing_more_s": round(start, 2),
        "share": round(few / total, 4),
        "share_beyond_start": round((few - start) / (total - start), 4),
    }


def small(folder: Path) -> dict:
    commands.set_params(folder, {"data.ensemble.clips": 60, "data.ensemble.test_clips": 0, "train.epochs": 1})
    (folder / "videos").mkdir()
    costs = {name: round(commands.measure_stage(folder, name).wall, 2) for name in stage_names()}
    modules = {
        "train": "models.training.loop",
        "evaluate": "models.evaluation.evaluation, models.tasks.matching",
    }
    modules["index"] = "models.inference.index, models.tasks.matching"
    imports = {name: round(seconds(sys.executable, "-c", f"import {m}"), 2) for name, m in modules.items()}
    whole = sum(costs.values())
    return {
        "stages_s": costs,
        "whole_s": round(whole, 1),
        "imports_s": imports,
        "imports_share": round(sum(imports.values()) / whole, 2),
    }


NOT_COPIED = {".git", ".venv", ".dvc", "report", "dist", "tmp", "experiments", "tests"}  # of the root alone


def copy_project(folder: Path) -> Path:
    """This project with its data and its model, to be trained again."""
    shutil.copytree(ROOT, folder / "project", ignore=lambda path, _: NOT_COPIED if Path(path) == ROOT else ())
    shutil.rmtree(folder / "project/checkpoints")
    return folder / "project"


def after_training(root: Path) -> dict:
    costs = {name: commands.measure_stage(root, name).wall for name in ("train", "evaluate", "report")}
    share = (costs["evaluate"] + costs["report"]) / costs["train"]
    return {f"{name}_s": round(wall, 1) for name, wall in costs.items()} | {"share": round(share, 3)}


def training(root: Path) -> dict:
    """Of the stage train, in a process of its own."""
    shutil.rmtree(root / "checkpoints", ignore_errors=True)
    words = [sys.executable, "-m", "benchmarks.overheads", "--timed"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    output = subprocess.run(
        words, cwd=root, env=environment, capture_output=True, text=True, check=True
    ).stdout
    return json.loads(output.splitlines()[-1])


def time_training_parts() -> dict:
    """Of the stage train in this folder, by clocks around a few functions: a profiler slows every function of
    Python, and so the loop more than the model."""
    from lightning.pytorch import Trainer
    from lightning.pytorch.strategies import Strategy

    from models.training.batches import Batches
    from models.training.precision import lightning_precision
    from models.training.recorder import Recorder
    from pipeline.config import read
    from pipeline.dataset import dataset
    from stages.train import train

    total_seconds: dict[str, float] = defaultdict(float)

    def clock(part: str, owner: type, name: str) -> None:
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed_function(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                total_seconds[part] += time.perf_counter() - start

        setattr(owner, name, timed_function)

    clock("loop", Trainer, "fit")
    clock("model", Strategy, "optimizer_step")  # training's forward and backward pass within
    clock("model", Strategy, "validation_step")
    clock("batches", Batches, "__getitem__")
    clock("saving", Recorder, "_save_checkpoint")
    clock("curves", Recorder, "_write_curves")
    train()
    params = read()
    data = dataset.load("data", params.audio, params.video, params.input)
    clips = params.train.epochs * len(data.indices("train"))
    return {
        "precision": lightning_precision(params.train.precision),
        "clips_s": round(clips / total_seconds["loop"]),
        **{f"{part}_s": round(s, 2) for part, s in total_seconds.items()},
        "share_lost": round(1 - total_seconds["model"] / total_seconds["loop"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overheads", description=__doc__)
    parser.formatter_class = argparse.RawTextHelpFormatter
    parser.add_argument("--clips", type=int, nargs="+", default=[8192, 32768], help="of append")
    parser.add_argument("--only", choices=list(GOALS))
    parser.add_argument("--timed", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.timed:
        print(json.dumps(time_training_parts()))
        return
    results = json.loads(RESULT.read_text()) if options.only and RESULT.exists() else {}
    with tempfile.TemporaryDirectory(prefix="earsight-overheads-") as name:
        folder = Path(name)
        measurements = {
            "nothing_to_do": lambda: nothing_to_do(folder / "empty"),
            "start": lambda: start(folder / "start"),
            "append": lambda: {f"{n} clips": append(folder / "append" / str(n), n) for n in options.clips},
            "after_training": lambda: after_training(copy_project(folder / "after")),
            "training": lambda: training(copy_project(folder / "training")),
            "small": lambda: small(folder / "small"),
        }
        for what, measure in measurements.items():
            if options.only in (None, what):
                (folder / what).mkdir(exist_ok=True)
                results[what] = measure() | {"goal": GOALS[what]}
                print(f"{what}: {results[what]}", flush=True)
    result_files.save("overheads", results, options.only)


if __name__ == "__main__":
    main()
