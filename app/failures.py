"""Which clips failed, why, and another try: `python -m app.failures`.

`--reason network,private` names the clips that failed so, one a line. `--retry network,private` has the stage
`download` fetch those again, whatever became of them before, and says how to go on. Failures of other stages
come from the files themselves: mend those, and `dvc repro` does the rest.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.store.shards import read_index
from pipeline.store.status import OK, STATUSES

STAGES = {
    "download": "media",
    "wav": "wav",
    "spectrogram": "spectrogram",
    "frames": "frames",
    "faces": "faces",
}
EXAMPLES = 3


def failures(root: Path = Path(".")) -> dict[str, dict[str, list[dict]]]:
    """stage -> reason -> rows, each clip where it fell out first. Stages that were not run are left out."""
    found: dict[str, dict[str, list[dict]]] = {}
    seen: set[str] = set()
    for stage, folder in STAGES.items():
        if not (root / "data" / folder / "index.parquet").exists():
            continue
        index = read_index(root / "data" / folder)
        rows = index.filter(pc.not_equal(index["status"], OK)).to_pylist()
        here: dict[str, list[dict]] = defaultdict(list)
        for row in rows:
            if row["clip_id"] not in seen:
                here[row["status"]].append(row)
        # A face that is not found, or a sound that is missing, says nothing of the other modality.
        if stage == "download":
            seen |= {row["clip_id"] for row in rows}
        if here:
            found[stage] = dict(sorted(here.items(), key=lambda item: (-len(item[1]), item[0])))
    return found


def show(found: dict[str, dict[str, list[dict]]]) -> None:
    if not found:
        print("No clip has failed.")
    for stage, reasons in found.items():
        for reason, rows in reasons.items():
            print(f"{stage}: {len(rows)} {reason}: {STATUSES[reason]}")
            for row in rows[:EXAMPLES]:
                print(f"    {row['clip_id']}: {row['detail']}")
            if len(rows) > EXAMPLES:
                print(f"    and {len(rows) - EXAMPLES} more (--reason {reason})")


def retry(reasons: list[str], found: dict[str, dict[str, list[dict]]]) -> None:
    """Have the stage `download` fetch the clips that failed for these reasons."""
    from pipeline.download.queue import FOLDER, Log

    if not (FOLDER / "log.sqlite").exists():
        raise UserError("nothing was fetched here: --retry is for clips that came over the network")
    ids = [row["clip_id"] for reason in reasons for row in found.get("download", {}).get(reason, [])]
    if not ids:
        raise UserError(f"no clip failed in the stage download for {', '.join(reasons)}")
    Log.of().again(ids)
    print(f"{len(ids)} clips are asked for again", flush=True)
    # DVC sees no change by itself: what changed is the world outside.
    done = subprocess.run([sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "download"])
    if done.returncode:
        sys.exit(done.returncode)
    print("What came is in data/media: `dvc repro` goes on with it.")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m app.failures", description=__doc__.splitlines()[0])
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--reason", metavar="REASONS", help="name all clips that failed for these, with commas between"
    )
    ways.add_argument("--retry", metavar="REASONS", help="fetch those again that failed for these")
    chosen = parser.parse_args(arguments)
    wanted = [r.strip() for r in (chosen.reason or chosen.retry or "").split(",") if r.strip()]
    if unknown := [reason for reason in wanted if reason not in STATUSES or reason == OK]:
        raise UserError(f"{unknown[0]}: no reason; there are {', '.join(s for s in STATUSES if s != OK)}")
    found = failures()
    if chosen.retry:
        retry(wanted, found)
    elif chosen.reason:
        for reasons in found.values():
            for reason in wanted:
                for row in reasons.get(reason, []):
                    print(row["clip_id"])
    else:
        show(found)


if __name__ == "__main__":
    try:
        main()
    except UserError as e:
        sys.exit(f"ERROR: {e}")
