"""What goes with this sound, picture or video: `python -m app.search FILE`, after `dvc repro`."""

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.inference.search import KINDS, Hit, Library, Query
from pipeline.cli import run
from pipeline.errors import UserError
from pipeline.report import data, page
from pipeline.report.galleries import build_galleries, encode_clips

ASKED = "\0query"  # no clip has this name


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.search", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a sound, a picture or a video")
    parser.add_argument("--by", choices=KINDS, help="ask with this side of a video alone")
    parser.add_argument("--find", choices=KINDS, help="find by this side of the clips alone")
    parser.add_argument("-k", type=_positive, default=10, help="how many to find (10)")
    parser.add_argument(
        "--start", type=_seconds, default=0.0, help="where in the file to begin, in seconds (0)"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="print JSON and no table")
    kind.add_argument("--html", metavar="PAGE", help="write a page with pictures and players")
    return parser.parse_args(given)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def answers(library: Library, query: Query, by: str | None, find: str | None, k: int) -> dict[str, list[Hit]]:
    """direction -> the nearest clips, in the directions that are wanted. UserError where there is none."""
    wanted = [
        d
        for d in library.directions(query)
        if (by is None or d.startswith(f"{by}_")) and (find is None or d.endswith(f"_{find}"))
    ]
    if not wanted:
        why = [
            f"it has no {KINDS[side]} ({text})" for side, text in query.missing.items() if by in (None, side)
        ]
        if find and find not in library.searchers:
            why.append(f"there is no index of {KINDS[find]}s")
        raise UserError(f"{query.name}: cannot be asked so: {'; '.join(why)}")
    return {d: library.nearest(query.embeddings[d.split("_to_")[0]], d, k) for d in wanted}


def show(name: str, found: dict[str, list[Hit]], console: Console) -> None:
    for direction, hits in found.items():
        table = Table(title=f"{name}: {direction.replace('_', ' ')}", title_justify="left")
        for column, side in (("", "right"), ("clip", "left"), ("labels", "left"), ("score", "right")):
            table.add_column(column, justify=side)
        for place, hit in enumerate(hits, 1):
            table.add_row(str(place), hit.clip_id, ", ".join(hit.labels), f"{hit.score:.3f}")
        console.print(table, markup=False)


def write_page(library: Library, query: Query, found: dict[str, list[Hit]], path: str) -> None:
    """The nearest as pictures and players, on one page."""
    clips = data.read_clips({hit.clip_id: hit.labels for hits in found.values() for hit in hits})
    clips[ASKED] = {"labels": [query.name], "image": query.image, "wav": query.wav}
    galleries = {
        direction: [
            {
                "query": ASKED,
                "results": [{"clip_id": h.clip_id, "score": h.score, "relevant": None} for h in hits],
            }
        ]
        for direction, hits in found.items()
    }
    shown = encode_clips(galleries, clips)
    lists = build_galleries(galleries, shown)
    page.write(path, "search.html", shown, name=query.name, total=len(library.clips), galleries=lists)


def search() -> None:
    given = arguments()
    if given.html and len(given.files) > 1:
        raise UserError("--html: give one file at a time")
    library = Library.open()
    printed, failed = [], []
    for file in given.files:
        try:
            query = library.query(file, given.start)
            found = answers(library, query, given.by, given.find, given.k)
        except UserError as e:  # costs this file, and no other
            failed.append(str(e))
            continue
        if given.html:
            write_page(library, query, found, given.html)
            print(f"search: {given.html}")
        elif given.json:
            results = {d: [asdict(hit) for hit in hits] for d, hits in found.items()}
            printed.append({"file": str(Path(file)), "missing": query.missing, "results": results})
        else:
            show(query.name, found, Console())
    if given.json:
        json.dump(printed, sys.stdout, indent=2, ensure_ascii=False)
        print()
    if failed:
        raise UserError("\n".join(failed))


if __name__ == "__main__":
    run(search)
