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

from pipeline.config import data_stages
from pipeline.errors import UserError
from pipeline.store.shards import read_index
from pipeline.store.status import OK, STATUSES

EXAMPLES = 3
Failures = dict[str, dict[str, list[dict]]]  # stage -> reason -> index rows


def failures(root: Path = Path(".")) -> Failures:
    """Return the index rows of all failed clips of the project in `root`, by data stage of its dvc.yaml.

    Stages that were not run are left out. A clip that failed in `download` is listed there only. The other
    stages are independent of each other: a clip without a face may have a sound.
    """
    failures_by_stage: Failures = {}
    failed_downloads: set[str] = set()
    for stage, folder in data_stages(root).items():
        if not (root / folder / "index.parquet").exists():
            continue
        index = read_index(root / folder)
        rows = index.filter(pc.not_equal(index["status"], OK)).to_pylist()
        by_reason: dict[str, list[dict]] = defaultdict(list)
        for row in rows:
            if row["clip_id"] not in failed_downloads:
                by_reason[row["status"]].append(row)
        if stage == "download":
            failed_downloads |= {row["clip_id"] for row in rows}
        if by_reason:  # the most frequent reason first
            failures_by_stage[stage] = dict(
                sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
            )
    return failures_by_stage


def show(failures_by_stage: Failures) -> None:
    """Print the count of each reason and some clips of it."""
    if not failures_by_stage:
        print("No clip has failed.")
    for stage, by_reason in failures_by_stage.items():
        for reason, rows in by_reason.items():
            print(f"{stage}: {len(rows)} {reason}: {STATUSES[reason]}")
            for row in rows[:EXAMPLES]:
                print(f"    {row['clip_id']}: {row['detail']}")
            if len(rows) > EXAMPLES:
                print(f"    and {len(rows) - EXAMPLES} more (--reason {reason})")


def retry(reasons: list[str], failures_by_stage: Failures) -> None:
    """Run the stage `download` again for the clips that failed there for these reasons.

    Raises UserError if the data were not downloaded, or no clip failed so.
    """
    from pipeline.download.queue import FOLDER, open_log

    if not (FOLDER / "log.sqlite").exists():
        raise UserError("--retry: no clip of this project was downloaded from the network")
    downloads = failures_by_stage.get("download", {})
    ids = [row["clip_id"] for reason in reasons for row in downloads.get(reason, [])]
    if not ids:
        raise UserError(f"no clip failed in the stage download for {', '.join(reasons)}")
    open_log().request_retry(ids)
    print(f"{len(ids)} clips will be downloaded again", flush=True)
    # --force: no dependency of the stage changed, so DVC would not run it.
    process = subprocess.run([sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "download"])
    if process.returncode:
        sys.exit(process.returncode)
    print("The new media are in data/media. Run `dvc repro` to process them.")


def _parse_reasons(text: str) -> list[str]:
    """Split at commas. Raises UserError for a reason that does not exist."""
    reasons = [reason.strip() for reason in text.split(",") if reason.strip()]
    for reason in reasons:
        if reason not in STATUSES or reason == OK:
            choices = ", ".join(status for status in STATUSES if status != OK)
            raise UserError(f"{reason}: no such reason: use {choices}")
    return reasons


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m app.failures", description=__doc__.splitlines()[0])
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--reason",
        metavar="REASONS",
        help="print the ids of the clips that failed for these, comma-separated",
    )
    modes.add_argument("--retry", metavar="REASONS", help="download the clips again that failed for these")
    options = parser.parse_args(arguments)
    reasons = _parse_reasons(options.reason or options.retry or "")
    failures_by_stage = failures()
    if options.retry:
        retry(reasons, failures_by_stage)
    elif options.reason:
        for by_reason in failures_by_stage.values():
            for reason in reasons:
                for row in by_reason.get(reason, []):
                    print(row["clip_id"])
    else:
        show(failures_by_stage)


if __name__ == "__main__":
    try:
        main()
    except UserError as e:
        sys.exit(f"ERROR: {e}")
