"""How much faster are two workers of a Ray cluster than one, end to end, and what does Ray cost?

`python -m benchmarks.cluster [--clips N]` makes temporary projects of N synthetic clips and runs the data
stages (without `faces`) as a user runs them: on a Ray cluster of this machine of one worker and of two
(started for each stage anew, which is counted), and by two local processes. Each stage writes the same files
in all of them, or this fails. Prints a table, keeps all in benchmarks/results/cluster.json.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path

from benchmarks import result_files
from testing import commands
from testing.project import FOLDERS

WAYS = (("ray", 1), ("ray", 2), ("local", 2))
MIN_CLIPS = 16  # clips that the source gives
GOALS = {"ray_two_workers": 1.7}


def write_project(folder: Path, clips: int, engine: str, workers: int) -> None:
    (folder / "none").mkdir(parents=True)
    changes = {
        "engine.name": engine,
        "engine.address": None,
        "engine.workers": workers,
        "engine.storage": None,
    }
    commands.set_params(
        folder,
        changes
        | {
            "data.ensemble.clips": clips,
            "data.ensemble.test_clips": 0,
            "data.ensemble.negatives": 0,
            "data.folder": str(folder / "none"),
        },
    )


def digest(folder: Path) -> str:
    """Of all files, by their names."""
    hasher = hashlib.blake2b(digest_size=16)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        hasher.update(f"{path.relative_to(folder)}\0".encode())
        with open(path, "rb") as f:
            hasher.update(hashlib.file_digest(f, "blake2b").digest())
    return hasher.hexdigest()


def seconds(folder: Path, clips: int, engine: str, workers: int) -> tuple[dict[str, float], dict[str, str]]:
    """By the clock, of each stage and in all, and of processor time; and what each wrote."""
    write_project(folder, clips, engine, workers)
    commands.measure_stage(folder, "clips")
    stage_seconds, digests, cpu = {}, {}, 0.0
    for stage, output in FOLDERS.items():
        cost = commands.measure_stage(folder, stage)
        if f"{clips} clips in" not in cost.output:
            raise RuntimeError(cost.output)
        stage_seconds[stage], digests[stage] = cost.wall, digest(folder / output)
        cpu += cost.cpu
    return stage_seconds | {"all": sum(stage_seconds.values()), "cpu": cpu}, digests


def measure(folder: Path, clips: int) -> dict:
    seconds_by_way, digests_by_way = {}, {}
    for number, (engine, workers) in enumerate(WAYS):
        name = f"{engine}_{workers}"
        seconds_by_way[name], digests_by_way[name] = seconds(folder / str(number), clips, engine, workers)
        print(f"{name}: {seconds_by_way[name]['all']:.1f} s", flush=True)
    for stage in FOLDERS:
        if len({values[stage] for values in digests_by_way.values()}) > 1:
            raise RuntimeError(f"{stage} did not write the same files: {digests_by_way}")
    start, _ = seconds(folder / "start", MIN_CLIPS, "ray", 1)
    local_start, _ = seconds(folder / "bare", MIN_CLIPS, "local", 1)

    def gain(stage: str) -> float:
        return seconds_by_way["ray_1"][stage] / seconds_by_way["ray_2"][stage]

    ratios = {
        "ray_two_workers": gain("all"),
        "ray_two_workers_beyond_start": (seconds_by_way["ray_1"]["all"] - start["all"])
        / (seconds_by_way["ray_2"]["all"] - start["all"]),
        **{f"ray_two_workers_{stage}": gain(stage) for stage in FOLDERS},
        "ray_to_local_with_two_workers": seconds_by_way["ray_2"]["all"] / seconds_by_way["local_2"]["all"],
    }
    return {
        "ratios": {name: round(value, 2) for name, value in ratios.items()},
        "goals": GOALS,
        "seconds": {
            name: {stage: round(s, 1) for stage, s in values.items()}
            for name, values in seconds_by_way.items()
        },
        "start_seconds": {
            name: {stage: round(s, 1) for stage, s in values.items()}
            for name, values in (("ray", start), ("local", local_start))
        },
        "clips": clips,
        "same_files": True,
        "included": "the whole process of each stage, the start of Ray and of its workers and their end; "
        f"start_seconds is a run with {MIN_CLIPS} clips. That the ways write the same files is checked",
    }


def table(result: dict) -> str:
    lines = [f"{'seconds':10} " + " ".join(f"{stage:>12}" for stage in (*FOLDERS, "all", "cpu"))]
    for name, values in result["seconds"].items():
        lines.append(f"{name:10} " + " ".join(f"{values[stage]:12.1f}" for stage in (*FOLDERS, "all", "cpu")))
    for name, value in result["ratios"].items():
        goal = f"  (goal {GOALS[name]:g})" if name in GOALS else ""
        lines.append(f"{name:40} {value:6.2f} times{goal}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2048, help="synthetic clips (default 2048)")
    with tempfile.TemporaryDirectory(prefix="earsight-cluster-") as folder:
        result = measure(Path(folder), parser.parse_args().clips)
    result_files.save("cluster", result)
    print(table(result))


if __name__ == "__main__":
    main()
