"""The stages that read media, on tars and Parquet files, against the same files in a folder.

`python -m benchmarks.archives [--clips N]` packs N films shaped like CREMA-D's into two archives of each kind
and runs `download`, `wav` and `frames` with one worker, from start to end, a few times in turn. The best of
each counts. Keeps all in benchmarks/results/archives.json.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from benchmarks import films, result_files
from testing import commands
from testing.archives import write_parquet, write_tar

DISTINCT = 60  # films; more clips than that are the same under other names
ROUNDS = 3
STAGES = ("download", "wav", "frames")
GOAL = 0.9  # of the clips per second of a folder


def pack(folder: Path, n_clips: int) -> dict[str, dict]:
    """Write the films as files, tars and Parquet files. Return the parameters that select each kind."""
    distinct = films.write_videos(folder / "distinct", min(DISTINCT, n_clips))
    videos = folder / "videos"
    videos.mkdir()
    for i in range(n_clips):
        shutil.copy(distinct[i % len(distinct)], videos / f"{i:05d}.flv")
    paths = sorted(videos.iterdir())
    half = (n_clips + 1) // 2
    for number, part in enumerate((paths[:half], paths[half:])):
        write_tar(folder / f"{number}.tar", [(p.name, p.read_bytes()) for p in part])
        rows = [{"video": {"bytes": p.read_bytes(), "path": p.name}} for p in part]
        write_parquet(folder / f"{number}.parquet", rows, ("video",), group_size=100)
    kinds = {"folder": {"data.source": "folder", "data.folder": str(videos)}}
    for suffix in ("tar", "parquet"):
        kinds[suffix] = {"data.source": "archive", "data.archives": f"{folder}/*.{suffix}"}
    return kinds


def measure(folder: Path, n_clips: int) -> dict:
    """Return the milliseconds that a clip of each kind takes, and how each compares with a folder."""
    costs: dict[str, dict[str, list[commands.Cost]]] = {}  # kind -> stage -> cost of each round
    kinds = pack(folder, n_clips)
    for round_ in range(ROUNDS):
        for kind, settings in kinds.items():
            work = folder / f"{kind}-{round_}"
            commands.set_params(work, settings | {"engine.workers": 1})
            commands.measure_stage(work, "clips")
            for stage in STAGES:
                cost = commands.measure_stage(work, stage)
                if f"{n_clips} clips in, {n_clips} ok" not in cost.output:
                    raise RuntimeError(cost.output)
                costs.setdefault(kind, {}).setdefault(stage, []).append(cost)
    milliseconds = {}
    for kind, stages in costs.items():
        for clock in ("cpu", "wall"):
            best = {stage: min(getattr(c, clock) for c in rounds) for stage, rounds in stages.items()}
            best["all"] = sum(best.values())
            times = {stage: round(1000 * seconds / n_clips, 2) for stage, seconds in best.items()}
            milliseconds.setdefault(kind, {})[clock] = times
    return {
        "clips": n_clips,
        "films": films.ABOUT,
        "goal": GOAL,
        "of_the_clips_per_second_of_a_folder": {
            kind: {
                clock: round(milliseconds["folder"][clock]["all"] / milliseconds[kind][clock]["all"], 3)
                for clock in ("cpu", "wall")
            }
            for kind in ("tar", "parquet")
        },
        "ms_per_clip": milliseconds,
        "rounds": ROUNDS,
        "included": "whole processes of the stages, with one worker; the best round of each stage",
        "load": round(os.getloadavg()[0], 1),  # of the machine: other work disturbs the clock
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=600, help="films in each kind of archive (default 600)")
    n_clips = parser.parse_args().clips
    with tempfile.TemporaryDirectory(prefix="earsight-archives-") as folder:
        result = measure(Path(folder), n_clips)
    result_files.save("archives", result)
    for kind, ratios in result["of_the_clips_per_second_of_a_folder"].items():
        print(
            f"{kind:8} {ratios['cpu']:.2f} by processor time, {ratios['wall']:.2f} by the clock (goal {GOAL})"
        )


if __name__ == "__main__":
    main()
