"""Broken media through the data stages: does every file come out as data or as a row that says why not?

`python -m benchmarks.fuzz [--files N] [--seed S] [--decoder ffmpeg] [--tar]` makes a good file of every
container, breaks it in every way (testing/mutants.py) and runs clips and the data stages on a folder (or a
tar) of them, two workers. Fails where a run crashes or hangs, where a file is in no account, where one takes
longer than engine.timeout, where a process holds more memory than BOUND, or where one worker makes other
bytes than two. Keeps the figures in benchmarks/results/fuzz.json, fuzz_ffmpeg.json or fuzz_tar.json. Linux
only.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import result_files
from testing.fuzz import run


def table(result: dict) -> str:
    lines = []
    for stage, outcomes in result["outcomes"].items():
        lines.append(f"{stage:8} " + ", ".join(f"{n} {s}" for s, n in sorted(outcomes.items())))
    lines += [f"crashed or hung: {line}" for line in result["crashed_or_hung"]]
    lines += [f"longest: {result['longest_s']}", f"peak: {result['peak_mb']}"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000, help="broken files (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a new folder for the files, that stays")
    parser.add_argument("--decoder", default="pyav", help="media.decoder: pyav (default) or ffmpeg")
    parser.add_argument("--tar", action="store_true", help="the files are in a tar: data.source: archive")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="earsight-fuzz-") as folder:
        result = run(options.keep or Path(folder), options.files, options.seed, options.decoder, options.tar)
    if "outcomes" in result:
        variants = ["tar"] * options.tar + [options.decoder] * (options.decoder != "pyav")
        result_files.save("_".join(["fuzz", *variants]), result)
        print(table(result))
    if result["broken"]:
        sys.exit("\n".join(result["broken"]))


if __name__ == "__main__":
    main()
