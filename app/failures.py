"""List the clips that failed and why, and try some again: `python -m app.failures`.

`--reason network,private` prints the ids of the clips that failed for these reasons, one a line.
`--retry network,private` runs the stage `download` for those clips again. Failures of other stages come from
the files themselves: repair the files, then run `dvc repro`.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow.compute as pc

from pipeline.cli import run
from pipeline.config import data_stages
from pipeline.errors import UserError
from pipeline.store.shards import read_index
from pipeline.store.status import OK, STATUSES

MAX_EXAMPLES = 3  # clips that are printed for each reason
Failures = dict[str, dict[str, list[dict]]]  # stage -> reason -> rows of the stage's index


def collect_failures(project: Path = Path(".")) -> Failures:
    """Return the failed clips of the project in this folder, by data stage and by reason.

    Returns stage -> reason -> rows of the stage's index, one for each failed clip, the most frequent reason
    first. A reason is the status of a clip that is not ok, such as `network`.
    Stages that were not run are left out. A clip that failed in `download` is listed there only. The other
    stages are independent of each other: a clip without a face may have a sound.
    """
    failures_by_stage: Failures = {}
    failed_downloads: set[str] = set()  # clip ids
    for stage, folder in data_stages(project).items():
        if not (project / folder / "index.parquet").exists():
            continue
        index = read_index(project / folder)
        failed_rows = index.filter(pc.not_equal(index["status"], OK)).to_pylist()
        rows_by_reason: dict[str, list[dict]] = defaultdict(list)
        for row in failed_rows:
            if row["clip_id"] not in failed_downloads:
                reason = row["status"]
                rows_by_reason[reason].append(row)
        if stage == "download":
            failed_downloads |= {row["clip_id"] for row in failed_rows}
        if rows_by_reason:
            by_frequency = sorted(rows_by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
            failures_by_stage[stage] = dict(by_frequency)
    return failures_by_stage


def print_failures(failures_by_stage: Failures) -> None:
    """Print for each stage and reason the number of failed clips, and up to MAX_EXAMPLES of them.

    failures_by_stage: stage -> reason -> rows of the stage's index.
    """
    if not failures_by_stage:
        print("No clip has failed.")
    for stage, rows_by_reason in failures_by_stage.items():
        for reason, rows in rows_by_reason.items():
            print(f"{stage}: {len(rows)} {reason}: {STATUSES[reason]}")
            for row in rows[:MAX_EXAMPLES]:
                print(f"    {row['clip_id']}: {row['detail']}")
            if len(rows) > MAX_EXAMPLES:
                print(f"    and {len(rows) - MAX_EXAMPLES} more (--reason {reason})")


def retry_downloads(reasons: list[str], failures_by_stage: Failures) -> None:
    """Run the stage `download` again for the clips that failed there for one of these reasons.

    failures_by_stage: stage -> reason -> rows of the stage's index.
    Raises UserError if no clip of the project was downloaded, or if no clip failed for one of the reasons.
    """
    from pipeline.download.queue import FOLDER, open_log

    if not (FOLDER / "log.sqlite").exists():
        raise UserError("--retry: no clip of this project was downloaded from the network")
    downloads = failures_by_stage.get("download", {})
    clip_ids = [row["clip_id"] for reason in reasons for row in downloads.get(reason, [])]
    if not clip_ids:
        raise UserError(f"no clip failed in the stage download for {', '.join(reasons)}")
    open_log().request_retry(clip_ids)
    print(f"{len(clip_ids)} clips will be downloaded again", flush=True)
    # --force: no dependency of the stage changed, so DVC would not run it.
    process = subprocess.run([sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "download"])
    if process.returncode:
        sys.exit(process.returncode)
    print("The new media are in data/media. Run `dvc repro` to process them.")


def _parse_reasons(text: str) -> list[str]:
    """Return the reasons of a comma-separated list such as `network,private`, the value of an option.

    Raises UserError if one of them is not a reason for which a clip can fail.
    """
    possible_reasons = [status for status in STATUSES if status != OK]
    reasons = [reason.strip() for reason in text.split(",") if reason.strip()]
    for reason in reasons:
        if reason not in possible_reasons:
            raise UserError(f"{reason}: no such reason: use {', '.join(possible_reasons)}")
    return reasons


def failures() -> None:
    """Read the command line, then print the failed clips, or download some of them again."""
    parser = argparse.ArgumentParser(prog="python -m app.failures", description=__doc__.splitlines()[0])
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--reason",
        metavar="REASONS",
        help="print the ids of the clips that failed for these reasons (comma-separated)",
    )
    modes.add_argument(
        "--retry",
        metavar="REASONS",
        help="download the clips again that failed for these reasons (comma-separated)",
    )
    options = parser.parse_args()
    reasons = _parse_reasons(options.reason or options.retry or "")
    failures_by_stage = collect_failures()
    if options.retry:
        retry_downloads(reasons, failures_by_stage)
    elif options.reason:
        for rows_by_reason in failures_by_stage.values():
            for reason in reasons:
                for row in rows_by_reason.get(reason, []):
                    print(row["clip_id"])
    else:
        print_failures(failures_by_stage)


if __name__ == "__main__":
    run(failures)
