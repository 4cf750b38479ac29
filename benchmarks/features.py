"""Features of a folder beside the pipeline's own stages: `python -m benchmarks.features [--clips N]`.

The synthetic clips as files, two workers, the model in checkpoints/ (after `dvc repro`): app.features, and
the stages wav, spectrogram, frames and index, which end with the same vectors. From two numbers of clips
follows what one takes beyond the start of the processes, which import for seconds. Linux only.
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
from models.training.experiment import select_input_params
from pipeline.config import ROOT, DataParams, read
from pipeline.sources import ensemble
from testing import commands
from testing.commands import Cost

STAGES = ("download", "wav", "spectrogram", "frames")
STAGES += ("audio_quality", "video_quality", "quality", "split", "index")
MEASURED_STAGES = ("wav", "spectrogram", "frames", "index")
CLIP_RATIO = 8  # the few clips are this part of the many
WINDOW_INTERVAL = 0.5  # s


def write_clip(folder: Path, data: DataParams, number: int) -> Path:
    """Write a clip of the synthetic data to a file."""
    path = folder / f"ensemble-{number:05d}.flv"
    path.write_bytes(ensemble.render(number, data))
    return path


def measure(folder: Path, videos: list[Path]) -> dict[str, Cost]:
    """Measure these videos: the stages, app.features, and app.features along time."""
    media = folder / "films"
    media.mkdir(parents=True)
    paths = [Path(shutil.copy(path, media)) for path in videos]
    commands.write_project(folder, paths, len(paths), workers=2)
    shutil.copytree(ROOT / "checkpoints", folder / "checkpoints")
    stages = {name: commands.measure_stage(folder, name) for name in STAGES}
    stage_costs = [stages[name] for name in MEASURED_STAGES]
    command = [sys.executable, "-m", "app.features", str(media), "--workers", "2"]
    costs = {
        "stages": Cost(sum(cost.wall for cost in stage_costs), sum(cost.cpu for cost in stage_costs)),
        "features": commands.measure_command(folder, [*command, "middle"]),
        "features_along": commands.measure_command(
            folder, [*command, "along", "--every", str(WINDOW_INTERVAL)]
        ),
    }
    for name in ("features", "features_along"):
        if f"{len(videos)} ok; {len(videos)} made" not in costs[name].output:
            raise RuntimeError(costs[name].output)
    return costs


def table(clips: list[int], costs: list[dict[str, Cost]]) -> dict:
    """Return the result from the costs of few clips and of many."""
    result: dict = {"clips": clips, "workers": 2, "every_s": WINDOW_INTERVAL}
    for name in costs[0]:
        walls, cpus = [cost[name].wall for cost in costs], [cost[name].cpu for cost in costs]
        each = [(many - few) / (clips[1] - clips[0]) * 1000 for few, many in (walls, cpus)]
        result[name] = {
            "wall_s": [round(wall, 2) for wall in walls],
            "cpu_s": [round(cpu, 2) for cpu in cpus],
            "ms_a_clip_beyond_start": {"wall": round(each[0], 2), "cpu": round(each[1], 2)},
        }
    stages, features = result["stages"], result["features"]
    beyond = [cost["ms_a_clip_beyond_start"]["wall"] for cost in (stages, features)]
    result["speed_of_the_stages"] = {
        "with_start": round(stages["wall_s"][1] / features["wall_s"][1], 2),
        "beyond_start": round(beyond[0] / beyond[1], 2),
    }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--clips", type=int, default=1024)
    count = parser.parse_args().clips
    params = read(ROOT / "params.yaml")
    config = json.loads((ROOT / "checkpoints/config.json").read_text(encoding="utf-8"))
    if config["inputs"] != select_input_params(params):
        raise SystemExit("checkpoints: not a model of params.yaml: run dvc repro first")
    data = params.override({"data.ensemble.broken": 0.0}).data
    clips = [count // CLIP_RATIO, count]
    with tempfile.TemporaryDirectory(prefix="earsight-features-") as name:
        folder = Path(name)
        (folder / "films").mkdir()
        with ProcessPoolExecutor(2) as pool:
            videos = list(pool.map(partial(write_clip, folder / "films", data), range(count), chunksize=8))
        measure(folder / "warm", videos[:CLIP_RATIO])  # the first to run compiles, and reads from the disk
        costs = [measure(folder / str(number), videos[:number]) for number in clips]
    result = table(clips, costs)
    result_files.save("features", result)
    for name in costs[0]:
        print(f"{name}: {', '.join(f'{key} {value}' for key, value in result[name].items())}")
    print(f"app.features beside the stages: {result['speed_of_the_stages']} times as fast")


if __name__ == "__main__":
    main()
