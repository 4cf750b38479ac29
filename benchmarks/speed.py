"""How fast are `wav`, `spectrogram` and `frames`, beside the way people do it now, on the same files?

`python -m benchmarks.speed [--clips N]` makes 120 films shaped like CREMA-D's, takes them in turn until there
are N clips, and runs both ways over them: the stages as a user runs them, with one worker and with two, on
all cores and held to one. Then the loader beside the raw decode of the same windows. Prints a table, keeps
all in benchmarks/results/speed.json.

"Per core" counts processor time: what a clip costs all cores together. An ffmpeg that is started for each
clip keeps several cores busy, so that the clock flatters it wherever all cores have work to do.

Each ratio stands twice. Plain, it is of the work alone: what a run of all clips takes beyond a run of one,
the imports of librosa and OpenCV left out as well. `_with_start` is of whole processes, from start to end.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import bare, films, result_files
from benchmarks.usual import STEPS
from pipeline.config import ROOT, read
from pipeline.dataset import dataset
from testing import commands

DISTINCT = 120  # films; more clips than that take them again under other names
WHY = (
    "The start of a stage (imports, in it and in its workers) weighs on a thousand clips, not on a million. "
    "The bare decode is the limit: by the clock and held to one core it lies below 8 times the usual way. "
    "limit_two_processes is what two processes of the bare decode, side by side, gain over one."
)
GOALS = {"per_core": 8.0, "two_workers": 1.8, "loader": 20.0}


def ours(folder: Path, paths: list[Path], rows: int, workers: int, cores: set[int] | None = None) -> dict:
    """Seconds of the three stages, everything included; with `rows` of 1 it is what starting up takes."""
    work = folder / f"ours-{rows}-{workers}-{cores}"
    work.mkdir()
    commands.write_project(work, paths, rows, workers, **{"video.frames": 1, "video.window_frames": 1})
    download = commands.measure_stage(work, "download", cores)
    costs = {name: commands.measure_stage(work, name, cores) for name in STEPS}
    for cost in costs.values():
        if f"{rows} clips in, {rows} ok" not in cost.output:
            raise RuntimeError(cost.output)
    total = {"wall": sum(c.wall for c in costs.values()), "cpu": sum(c.cpu for c in costs.values())}
    return total | {name: c.wall for name, c in costs.items()} | {"download": download.wall}


def decoders(folder: Path, paths: list[Path], rows: int) -> dict[str, dict[str, float]]:
    """ms of each decoder (`media.decoder`) for a clip in `wav` and `frames`: by the clock and of processors.

    One worker; what starting up takes is subtracted.
    """
    costs = {}
    for decoder in ("pyav", "ffmpeg"):
        spent = {}
        for n in (1, rows):
            work = folder / f"{decoder}-{n}"
            work.mkdir()
            knobs = {"video.frames": 1, "video.window_frames": 1, "media.decoder": decoder}
            commands.write_project(work, paths, n, 1, **knobs)
            commands.measure_stage(work, "download")
            both = [commands.measure_stage(work, stage) for stage in ("wav", "frames")]
            spent[n] = {"wall": sum(c.wall for c in both), "cpu": sum(c.cpu for c in both)}
        extra = {name: spent[rows][name] - spent[1][name] for name in ("wall", "cpu")}
        costs[decoder] = {name: round(1000 * seconds / (rows - 1), 1) for name, seconds in extra.items()}
    return costs


def usual(folder: Path, paths: list[Path], rows: int, cores: set[int] | None = None) -> dict:
    work = folder / f"usual-{cores}"
    work.mkdir()
    words = [sys.executable, "-m", "benchmarks.usual", str(work), str(rows), *map(str, paths)]
    commands.write_project(work, paths, 1, 1)
    cost = commands.measure_command(work, words, cores)
    return json.loads(cost.output) | {"whole_wall": cost.wall, "whole_cpu": cost.cpu}


def limit(paths: list[Path], rows: int) -> dict:
    """Seconds of the bare decode in this process, on one core."""
    params, wall = read(), []
    with commands.use_cores({min(os.sched_getaffinity(0))}):
        for decode in (
            lambda p: bare.sound(p, params.audio.sample_rate),
            lambda p: bare.picture(p, None, params.video.height, params.video.width),
        ):
            began = time.perf_counter()
            for i in range(rows):
                decode(str(paths[i % len(paths)]))
            wall.append(time.perf_counter() - began)
    return {"wall": sum(wall), "sound": wall[0], "picture": wall[1]}


def two_processes(paths: list[Path], rows: int) -> float:
    """How many times the clips two processes of the bare decode do, to one alone, in the same time."""
    words = [sys.executable, "-m", "benchmarks.bare", str(rows), *map(str, paths)]

    def seconds(processes: int) -> float:
        started = [
            subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        for process in started:
            process.stdout.readline()  # it is ready
        began = time.perf_counter()
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in started:
            process.communicate()
        return time.perf_counter() - began

    return 2 * seconds(1) / seconds(2)


class Windows(torch.utils.data.Dataset):
    """Batches of one window of each clip: a place in each that is drawn anew."""

    def __init__(self, data: dataset.Dataset, size: int) -> None:
        rng = np.random.default_rng(0)
        self.data = data
        self.parts = np.array_split(rng.permutation(len(data)), max(1, len(data) // size))
        self.at = [rng.random(len(part)) for part in self.parts]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        audio, video = self.data.read(self.parts[i], self.at[i])
        return torch.from_numpy(audio), torch.from_numpy(video)


def loader(work: Path, paths: list[Path]) -> dict:
    """Seconds for one window (sound and a picture) of each clip: from the shards, and decoded from the films.

    The decode stops at samples and pixels; the shards give the spectrogram as well.
    """
    params = read(work / "params.yaml")
    data = dataset.load(work / "data", params.audio, params.video)
    windows = Windows(data, params.train.batch_size)
    best = float("inf")
    for _ in range(3):
        start_time = time.perf_counter()
        n_clips = sum(len(a) for a, _ in torch.utils.data.DataLoader(windows, batch_size=None))
        best = min(best, time.perf_counter() - start_time)
    clip = np.concatenate(windows.parts)[:DISTINCT]
    start, frames = data.locate_windows(clip, np.concatenate(windows.at)[:DISTINCT])
    seconds = start * params.audio.hop_length / params.audio.sample_rate
    start_time = time.perf_counter()
    for c, second, frame in zip(clip, seconds, frames, strict=True):
        path = str(paths[int(data.clip_id[c].split("-")[1]) % len(paths)])
        bare.sound(path, params.audio.sample_rate, second, params.audio.window_seconds)
        bare.picture(path, data.times[c][frame[0]], params.video.height, params.video.width)
    raw = time.perf_counter() - start_time
    return {"loader": n_clips / best, "raw": len(clip) / raw}


def milliseconds(seconds: dict, rows: int) -> dict:
    """Per clip."""
    return {name: round(1000 * s / rows, 2) for name, s in seconds.items()}


def measure(folder: Path, rows: int) -> dict:
    paths = films.write_videos(folder / "films", DISTINCT)
    one = {min(os.sched_getaffinity(0))}
    theirs, held = usual(folder, paths, rows), usual(folder, paths, rows, one)
    single, single_held, double = ours(folder, paths, rows, 1), ours(folder, paths, rows, 1, one), None
    start, start_held = ours(folder, paths, 1, 1), ours(folder, paths, 1, 1, one)
    if len(os.sched_getaffinity(0)) > 1:
        double = ours(folder, paths, rows, 2)
    work = folder / f"ours-{rows}-1-None"
    for name in ("audio_quality", "video_quality", "quality", "split"):
        commands.measure_stage(work, name)
    few = min(rows, 3 * DISTINCT)
    read_again, floor = loader(work, paths), limit(paths, few)

    def beyond(of: dict, begin: dict) -> float:
        return of["wall"] - begin["wall"]

    ratios = {
        "per_core": theirs["cpu"] / (single["cpu"] - start["cpu"]),
        "per_core_with_start": theirs["whole_cpu"] / single["cpu"],
        "by_the_clock": theirs["wall"] / beyond(single, start),
        "by_the_clock_with_start": theirs["whole_wall"] / single["wall"],
        "both_held_to_one_core": held["wall"] / beyond(single_held, start_held),
        "both_held_to_one_core_with_start": held["whole_wall"] / single_held["wall"],
        "loader": read_again["loader"] / read_again["raw"],
        "limit_per_core": theirs["cpu"] / rows / (floor["wall"] / few),
        "limit_by_the_clock": theirs["wall"] / rows / (floor["wall"] / few),
        "limit_both_held_to_one_core": held["wall"] / rows / (floor["wall"] / few),
    }
    if double:
        ratios["two_workers"] = beyond(single, start) / beyond(double, start)
        ratios["two_workers_with_start"] = single["wall"] / double["wall"]
        ratios["limit_two_processes"] = two_processes(paths, few)
    return {
        "ratios": {name: round(value, 2) for name, value in ratios.items()},
        "goals": GOALS,
        "why": WHY,
        "ms_per_clip": {
            "usual": milliseconds(theirs, rows),
            "usual_held_to_one_core": milliseconds(held, rows),
            "ours_1_worker": milliseconds(single, rows),
            "ours_1_worker_held_to_one_core": milliseconds(single_held, rows),
            "ours_2_workers": milliseconds(double, rows) if double else None,
            "limit_bare_decode_on_one_core": milliseconds(floor, few),
        },
        "start_seconds": {name: round(s, 2) for name, s in start.items() if name in (*STEPS, "wall", "cpu")},
        "decoders_ms_per_clip": decoders(folder, paths, DISTINCT),
        "windows_per_second": {name: round(value) for name, value in read_again.items()},
        "clips": {"rows": rows, "distinct_films": len(paths), "films": films.ABOUT},
        "included": "the whole process of each stage: start of the interpreter and the workers, clip table, "
        "fingerprints, Parquet and npy shards, sync to disk, accounts; start_seconds is a run with one clip. "
        "Not included: the stage download, which stands beside ours",
    }


def table(result: dict) -> str:
    lines = [f"{'ms per clip':32} {'clock':>7} {'cpu':>7} {'wav':>7} {'mel':>7} {'frame':>7}"]
    for name, ms in result["ms_per_clip"].items():
        if ms and "cpu" in ms:
            numbers = (ms[k] for k in ("wall", "cpu", *STEPS))
            lines.append(f"{name:32} " + " ".join(f"{n:7.2f}" for n in numbers))
        elif ms:
            lines.append(f"{name:32} {ms['wall']:7.2f} {'':7} {ms['sound']:7.2f} {'':7} {ms['picture']:7.2f}")
    for name, value in result["ratios"].items():
        goal = f"  (goal {GOALS[name]:g})" if name in GOALS else ""
        lines.append(f"{name:40} {value:7.2f} times{goal}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=4096, help="rows of the clip table (default 4096)")
    parser.add_argument("--only-decoders", action="store_true", help="only media.decoder: pyav and ffmpeg")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="earsight-speed-") as folder:
        if options.only_decoders:
            paths = films.write_videos(Path(folder) / "films", DISTINCT)
            costs = decoders(Path(folder), paths, min(options.clips, DISTINCT))
            result_files.save("decoders", {"ms_per_clip": costs, "films": films.ABOUT})
            print(json.dumps(costs, indent=1))
            return
        result = measure(Path(folder), options.clips)
    result_files.save("speed", result)
    print(table(result))


if __name__ == "__main__":
    main()
