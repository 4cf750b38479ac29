"""Features of a folder beside the pipeline's own stages: `python -m benchmarks.features [--clips N]`.

The embedded clips as files, two workers, the model in checkpoints/ (after `dvc repro`): app.features, and the
stages wav, spectrogram, frames and index, which end with the same vectors. From two numbers of clips follows
what one takes beyond the start of the processes, which import for seconds. Linux only.
"""

import argparse
import json
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks import result_files
from models.training.experiment import inputs
from pipeline.config import ROOT, DataParams, read
from pipeline.sources import ensemble
from testing import commands
from testing.commands import Cost

STAGES = ("download", "wav", "spectrogram", "frames", "split", "index")
COUNTED = ("wav", "spectrogram", "frames", "index")
SHARE = 8  # the few clips are this part of the many
EVERY = 0.5  # s


def film(folder: Path, data: DataParams, number: int) -> Path:
    """A clip of the embedded data as a file."""
    path = folder / f"ensemble-{number:05d}.flv"
    path.write_bytes(ensemble.render(number, data))
    return path


def measure(folder: Path, films: list[Path]) -> dict[str, Cost]:
    """What these films take: the stages, app.features, and app.features along time."""
    media = folder / "films"
    media.mkdir(parents=True)
    paths = [Path(shutil.copy(path, media)) for path in films]
    commands.write_project(folder, paths, len(paths), workers=2)
    shutil.copytree(ROOT / "checkpoints", folder / "checkpoints")
    stages = {name: commands.measure_stage(folder, name) for name in STAGES}
    counted = [stages[name] for name in COUNTED]
    ask = [sys.executable, "-m", "app.features", str(media), "--workers", "2"]
    found = {
        "stages": Cost(sum(cost.wall for cost in counted), sum(cost.cpu for cost in counted)),
        "features": commands.measure_command(folder, [*ask, "middle"]),
        "features_along": commands.measure_command(folder, [*ask, "along", "--every", str(EVERY)]),
    }
    for name in ("features", "features_along"):
        if f"{len(films)} ok; {len(films)} made" not in found[name].output:
            raise RuntimeError(found[name].output)
    return found


def table(clips: list[int], found: list[dict[str, Cost]]) -> dict:
    """The result, of the few clips and of the many."""
    told: dict = {"clips": clips, "workers": 2, "every_s": EVERY}
    for name in found[0]:
        walls, cpus = [cost[name].wall for cost in found], [cost[name].cpu for cost in found]
        each = [(many - few) / (clips[1] - clips[0]) * 1000 for few, many in (walls, cpus)]
        told[name] = {
            "wall_s": [round(wall, 2) for wall in walls],
            "cpu_s": [round(cpu, 2) for cpu in cpus],
            "ms_a_clip_beyond_start": {"wall": round(each[0], 2), "cpu": round(each[1], 2)},
        }
    stages, features = told["stages"], told["features"]
    beyond = [cost["ms_a_clip_beyond_start"]["wall"] for cost in (stages, features)]
    told["speed_of_the_stages"] = {
        "with_start": round(stages["wall_s"][1] / features["wall_s"][1], 2),
        "beyond_start": round(beyond[0] / beyond[1], 2),
    }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--clips", type=int, default=1024)
    count = parser.parse_args().clips
    params = read(ROOT / "params.yaml")
    config = json.loads((ROOT / "checkpoints/config.json").read_text(encoding="utf-8"))
    if config["inputs"] != inputs(params):
        raise SystemExit("checkpoints: not a model of params.yaml: run dvc repro first")
    data = params.override({"data.ensemble.broken": 0.0}).data
    clips = [count // SHARE, count]
    with tempfile.TemporaryDirectory(prefix="earsight-features-") as name:
        folder = Path(name)
        (folder / "films").mkdir()
        with ProcessPoolExecutor(2) as pool:
            films = list(pool.map(partial(film, folder / "films", data), range(count), chunksize=8))
        measure(folder / "warm", films[:SHARE])  # the first to run compiles, and reads from the disk
        found = [measure(folder / str(number), films[:number]) for number in clips]
    result = table(clips, found)
    result_files.keep("features", result)
    for name in found[0]:
        print(f"{name}: {', '.join(f'{key} {value}' for key, value in result[name].items())}")
    print(f"app.features beside the stages: {result['speed_of_the_stages']} times as fast")


if __name__ == "__main__":
    main()
