"""Find clips by a sound, a picture, a video or words: `python -m app.search FILE`, after `dvc repro`."""

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models.inference.decode import SIDE_NAMES, DecodedFile
from models.inference.search import Hit, Library
from pipeline.cli import run
from pipeline.errors import UserError
from pipeline.report import data, page
from pipeline.report.galleries import build_galleries, encode_clips

QUERY_ID = "\0query"  # no clip has this id


@dataclass
class TextQuery:
    """Words as the query of a page. name: the words. It has neither picture nor sound."""

    name: str
    image: None = None
    wav: None = None


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or `arguments` instead of it."""
    parser = argparse.ArgumentParser(prog="python -m app.search", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help="a sound, a picture or a video")
    parser.add_argument("--text", metavar="WORDS", help="search by words (docs/towers.md: which models can)")
    parser.add_argument("--by", choices=SIDE_NAMES, help="search only with this side of the file")
    parser.add_argument("--find", choices=SIDE_NAMES, help="search only this side of the clips")
    parser.add_argument("-k", type=_parse_count, default=10, help="number of clips to find (10)")
    parser.add_argument(
        "--start", type=_parse_seconds, default=0.0, help="position in the file to begin at, in seconds (0)"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    output.add_argument("--html", metavar="PAGE", help="write a page with pictures and players")
    values = parser.parse_args(arguments)
    if bool(values.files) == bool(values.text):
        parser.error("give files, or --text")
    return values


def _parse_count(text: str) -> int:
    """Return the integer that an option has as its value. argparse reports a value that is not 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _parse_seconds(text: str) -> float:
    """Return the number that an option has as its value. argparse reports a value that is not 0 or more."""
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def search_directions(
    library: Library, query: DecodedFile, source_side: str | None, target_side: str | None, k: int
) -> dict[str, list[Hit]]:
    """Find the k clips nearest to a file, in each direction (such as "audio_to_video") that is possible.

    query: the file, with its embeddings. source_side: the side of the file to search with, target_side: the
    side of the clips to search among: "audio", "video", or None for both.
    Returns direction -> hits, the nearest first. Raises UserError if no direction is possible.
    """
    results: dict[str, list[Hit]] = {}
    for direction in library.directions(query):
        source, target = direction.split("_to_")
        if source_side in (None, source) and target_side in (None, target):
            results[direction] = library.nearest(query.embeddings[source], direction, k)
    if not results:
        reasons = [
            f"it has no {SIDE_NAMES[side]} ({why})"
            for side, why in query.missing.items()
            if source_side in (None, side)
        ]
        if target_side and target_side not in library.searchers:
            reasons.append(f"there is no index of {SIDE_NAMES[target_side]}s")
        raise UserError(f"{query.name}: cannot be searched so: {'; '.join(reasons)}")
    return results


def search_text(library: Library, text: str, target_side: str | None, k: int) -> dict[str, list[Hit]]:
    """Find the k clips nearest to words: "text_to_audio", "text_to_video" -> hits, the nearest first.

    target_side: search only this side of the clips. Raises UserError if the model does not understand words.
    """
    side, embedding = library.embed_text(text)
    return {
        f"text_to_{target}": library.nearest(embedding, f"{side}_to_{target}", k)
        for target in library.searchers
        if target_side in (None, target)
    }


def print_tables(name: str, results: dict[str, list[Hit]], console: Console) -> None:
    """Print a table for each direction: rank, id, labels and score of the nearest clips.

    name: of the file that was the query. results: direction (such as "audio_to_video") -> hits.
    """
    for direction, hits in results.items():
        table = Table(title=f"{name}: {direction.replace('_', ' ')}", title_justify="left")
        table.add_column("", justify="right")  # the rank
        table.add_column("clip")
        table.add_column("labels")
        table.add_column("score", justify="right")
        for rank, hit in enumerate(hits, 1):
            table.add_row(str(rank), hit.clip_id, ", ".join(hit.labels), f"{hit.score:.3f}")
        console.print(table, markup=False)


def write_page(
    library: Library, query: DecodedFile | TextQuery, results: dict[str, list[Hit]], path: str
) -> None:
    """Write an HTML page with the pictures and sounds of the query and of the nearest clips.

    results: direction (such as "audio_to_video") -> hits. path: of the page.
    """
    labels = {hit.clip_id: hit.labels for hits in results.values() for hit in hits}
    clips = data.read_clips(labels)
    clips[QUERY_ID] = {"labels": [query.name], "image": query.image, "wav": query.wav}
    galleries = {}  # direction -> rows of a query and its results; here there is one query
    for direction, hits in results.items():
        # Nobody knows whether a clip is relevant for a file without labels.
        cards = [{"clip_id": hit.clip_id, "score": hit.score, "relevant": None} for hit in hits]
        galleries[direction] = [{"query": QUERY_ID, "results": cards}]
    page_clips = encode_clips(galleries, clips)
    page.write_page(
        path,
        "search.html",
        page_clips,
        name=query.name,
        total=len(library.clips),
        galleries=build_galleries(galleries, page_clips),
    )


def search() -> None:
    """Search with each file or the words of the command line; print tables or JSON, or write a page.

    A file that cannot be used does not stop the search with the others: one UserError at the end has the
    messages of all such files.
    """
    arguments = parse_arguments()
    if arguments.html and len(arguments.files) > 1:
        raise UserError("--html: give one file at a time")
    library = Library.open()
    json_entries: list[dict] = []
    error_messages: list[str] = []
    for file in arguments.files or [None]:
        try:
            query, results, entry = _answer(library, arguments, file)
        except UserError as e:
            error_messages.append(str(e))
            continue
        if arguments.html:
            write_page(library, query, results, arguments.html)
            print(f"search: {arguments.html}")
        elif arguments.json:
            hits = {direction: [asdict(hit) for hit in hits] for direction, hits in results.items()}
            json_entries.append(entry | {"results": hits})
        else:
            print_tables(query.name, results, Console())
    if arguments.json:
        json.dump(json_entries, sys.stdout, indent=2, ensure_ascii=False)
        print()
    if error_messages:
        raise UserError("\n".join(error_messages))


def _answer(
    library: Library, arguments: argparse.Namespace, file: str | None
) -> tuple[DecodedFile | TextQuery, dict[str, list[Hit]], dict[str, Any]]:
    """Search with a file, or with the words of the command line if it is None.

    Returns the query, direction -> hits, and what JSON says about the query.
    """
    if file is None:
        results = search_text(library, arguments.text, arguments.find, arguments.k)
        return TextQuery(arguments.text), results, {"text": arguments.text}
    query = library.read_and_embed(file, arguments.start)
    results = search_directions(library, query, arguments.by, arguments.find, arguments.k)
    return query, results, {"file": str(Path(file)), "missing": query.missing}


if __name__ == "__main__":
    run(search)
