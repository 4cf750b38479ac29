"""Find clips like this sound, picture or video: `python -m app.search FILE`, after `dvc repro`."""

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.inference.search import SIDE_NAMES, DecodedFile, Hit, Library
from pipeline.cli import run
from pipeline.errors import UserError
from pipeline.report import data, page
from pipeline.report.galleries import build_galleries, encode_clips

QUERY_ID = "\0query"  # no clip has this id


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.search", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a sound, a picture or a video")
    parser.add_argument("--by", choices=SIDE_NAMES, help="search only with this side of the file")
    parser.add_argument("--find", choices=SIDE_NAMES, help="search only this side of the clips")
    parser.add_argument("-k", type=_positive, default=10, help="number of clips to find (10)")
    parser.add_argument(
        "--start", type=_seconds, default=0.0, help="position in the file to begin at, in seconds (0)"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="print JSON instead of a table")
    kind.add_argument("--html", metavar="PAGE", help="write a page with pictures and players")
    return parser.parse_args(arguments)


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


def search_directions(
    library: Library, query: DecodedFile, by: str | None, find: str | None, k: int
) -> dict[str, list[Hit]]:
    """Search in all directions that `by` and `find` allow: direction -> the nearest clips.

    Raises UserError if there is no such direction.
    """
    directions = [
        d
        for d in library.directions(query)
        if (by is None or d.startswith(f"{by}_")) and (find is None or d.endswith(f"_{find}"))
    ]
    if not directions:
        why = [
            f"it has no {SIDE_NAMES[side]} ({text})"
            for side, text in query.missing.items()
            if by in (None, side)
        ]
        if find and find not in library.searchers:
            why.append(f"there is no index of {SIDE_NAMES[find]}s")
        raise UserError(f"{query.name}: cannot be searched so: {'; '.join(why)}")
    return {d: library.nearest(query.embeddings[d.split("_to_")[0]], d, k) for d in directions}


def print_tables(name: str, results: dict[str, list[Hit]], console: Console) -> None:
    """Print a table for each direction."""
    for direction, hits in results.items():
        table = Table(title=f"{name}: {direction.replace('_', ' ')}", title_justify="left")
        for column, side in (("", "right"), ("clip", "left"), ("labels", "left"), ("score", "right")):
            table.add_column(column, justify=side)
        for rank, hit in enumerate(hits, 1):
            table.add_row(str(rank), hit.clip_id, ", ".join(hit.labels), f"{hit.score:.3f}")
        console.print(table, markup=False)


def write_page(library: Library, query: DecodedFile, results: dict[str, list[Hit]], path: str) -> None:
    """Write a page with the pictures and sounds of the query and the nearest clips."""
    clips = data.read_clips({hit.clip_id: hit.labels for hits in results.values() for hit in hits})
    clips[QUERY_ID] = {"labels": [query.name], "image": query.image, "wav": query.wav}
    galleries = {
        direction: [
            {
                "query": QUERY_ID,
                "results": [{"clip_id": h.clip_id, "score": h.score, "relevant": None} for h in hits],
            }
        ]
        for direction, hits in results.items()
    }
    page_clips = encode_clips(galleries, clips)
    page_galleries = build_galleries(galleries, page_clips)
    page.write(
        path, "search.html", page_clips, name=query.name, total=len(library.clips), galleries=page_galleries
    )


def search() -> None:
    """Run the command."""
    arguments = parse_arguments()
    if arguments.html and len(arguments.files) > 1:
        raise UserError("--html: give one file at a time")
    library = Library.open()
    entries, errors = [], []
    for file in arguments.files:
        try:
            query = library.read_and_embed(file, arguments.start)
            results = search_directions(library, query, arguments.by, arguments.find, arguments.k)
        except UserError as e:  # go on with the other files
            errors.append(str(e))
            continue
        if arguments.html:
            write_page(library, query, results, arguments.html)
            print(f"search: {arguments.html}")
        elif arguments.json:
            hits = {direction: [asdict(hit) for hit in hits] for direction, hits in results.items()}
            entries.append({"file": str(Path(file)), "missing": query.missing, "results": hits})
        else:
            print_tables(query.name, results, Console())
    if arguments.json:
        json.dump(entries, sys.stdout, indent=2, ensure_ascii=False)
        print()
    if errors:
        raise UserError("\n".join(errors))


if __name__ == "__main__":
    run(search)
