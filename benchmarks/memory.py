"""Does memory stay flat? The most that each data stage needs for 200 clips and for ten times as many.

`python -m benchmarks.memory [--clips N]` runs the data stages (without `faces`) as a user runs them, two
workers, and watches their processes. Prints a table, keeps it in benchmarks/results/memory.json. Linux only.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import films, result_files
from testing import commands
from testing.project import DATA_STAGES

DISTINCT = 40
GOAL = 1.10  # ten times the clips may take this much more


def peaks(folder: Path, paths: list[Path], rows: int) -> dict[str, dict[str, int]]:
    """stage -> role (parent, worker) -> the most bytes that one such process held."""
    work = folder / str(rows)
    work.mkdir()
    commands.write_project(work, paths, rows, workers=2)
    return {name: commands.measure_stage(work, name, watch=True).peaks for name in DATA_STAGES}


def measure(folder: Path, clips: int) -> dict:
    paths = films.write_videos(folder / "films", DISTINCT)
    few, many = peaks(folder, paths, clips // 10), peaks(folder, paths, clips)
    ratios = {name: round(_whole(many[name]) / _whole(few[name]), 3) for name in DATA_STAGES}
    return {
        "ratios": ratios,
        "goal_at_most": GOAL,
        "clips": [clips // 10, clips],
        "peak_mb": {
            name: {role: [round(p[name].get(role, 0) / 1e6, 1) for p in (few, many)] for role in many[name]}
            for name in DATA_STAGES
        },
        "counted": "the largest resident set of each kind of process over its life, shared pages in each; "
        "the ratio is of the sum of the parent and one worker",
    }


def _whole(roles: dict[str, int]) -> int:
    return sum(roles.values())


def table(result: dict) -> str:
    few, many = result["clips"]
    lines = [f"{'peak MB':12} {'process':8} {f'{few} clips':>12} {f'{many} clips':>12}"]
    for name, roles in result["peak_mb"].items():
        for role, (a, b) in sorted(roles.items()):
            lines.append(f"{name:12} {role:8} {a:12.1f} {b:12.1f}")
    lines += [
        f"{name:12} {value:5.3f} times (goal: at most {GOAL})" for name, value in result["ratios"].items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2000, help="the larger number of clips (default 2000)")
    clips = parser.parse_args().clips
    with tempfile.TemporaryDirectory(prefix="earsight-memory-") as folder:
        result = measure(Path(folder), clips)
    result_files.save("memory", result)
    print(table(result))


if __name__ == "__main__":
    main()
