"""Read AudioSet's published lists (segments, class names, ontology) and select classes by name or id."""

import csv
import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from pipeline.errors import UserError
from pipeline.store.atomic import atomic_write

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config.data import AudioSetParams

LISTS = Path("data/lists")  # downloaded lists
MAX_BYTES = 500 << 20  # of one list; the largest published one has 100 MB
MAX_PROBLEMS = 20  # in one message
MID = re.compile(r"/[a-z]/[A-Za-z0-9_]+")

# The instruments and tools of Objects that Sound (arXiv 1712.06651, section 2.2), by AudioSet's names.
MUSICAL = (
    "Accordion",
    "Acoustic guitar",
    "Bagpipes",
    "Banjo",
    "Bass drum",
    "Bell",
    "Church bell",
    "Bicycle bell",
    "Bugle",
    "Cello",
    "Chant",
    "Child singing",
    "Chime",
    "Choir",
    "Clarinet",
    "Cowbell",
    "Cymbal",
    "Dental drill, dentist's drill",
    "Drill",
    "Drum",
    "Drum kit",
    "Electric guitar",
    "Electric piano",
    "Electronic organ",
    "Female singing",
    "Filing (rasp)",
    "Flute",
    "French horn",
    "Gong",
    "Guitar",
    "Hammer",
    "Harmonica",
    "Harp",
    "Jackhammer",
    "Keyboard (musical)",
    "Male singing",
    "Mandolin",
    "Marimba, xylophone",
    "Musical ensemble",
    "Orchestra",
    "Piano",
    "Power tool",
    "Sanding",
    "Sawing",
    "Saxophone",
    "Sitar",
    "Tabla",
    "Trumpet",
    "Tuning fork",
    "Wind chime",
)
# The classes of VideoSound-Matching.
FIVE = ("Acoustic guitar", "Bird", "Child speech, kid speaking", "Flute", "Piano")


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of a list of segments: id of the video, start and end (s), ids of its labels."""

    video: str
    start: float
    end: float
    mids: list[str]


@dataclass(frozen=True)
class Classes:
    """All classes, and the selected ones.

    names: id -> display name, of all. selected: display name -> the ids that count as this class.
    """

    names: dict[str, str]
    selected: dict[str, set[str]]

    @classmethod
    def read(cls, selection: "AudioSetParams") -> "Classes":
        """Read the lists and select the classes of the section data.audioset.

        Raises UserError for a class that does not exist, and for a list that cannot be read.
        """
        names, nodes = labels(selection.labels), ontology(selection.ontology)
        presets = {"all": tuple(names.values()), "musical": MUSICAL, "five": FIVE}
        classes = selection.classes
        queries = presets[classes] if isinstance(classes, str) else classes
        # No segment has a label that is only in the ontology, but one may have a descendant of it.
        all_names = {mid: name for mid, (name, _) in nodes.items()} | names
        selected = {all_names[mid]: mid for mid in _find_classes(queries, all_names)}
        children = {mid: ids for mid, (_, ids) in nodes.items()} if selection.descendants else {}
        return cls(names, {name: _descendants(mid, children) for name, mid in selected.items()})

    def selected_names(self, mids: list[str]) -> list[str]:
        """Return the selected classes of a segment with these label ids."""
        return [name for name, class_mids in self.selected.items() if not class_mids.isdisjoint(mids)]


def _find_classes(queries: Sequence[str], names: dict[str, str]) -> Iterator[str]:
    """Yield the id of each class. names: id -> display name.

    A query is an id, a display name, or one of the parts of a display name between commas, if only one class
    has this part. Raises UserError with all queries that are none of these.
    """
    by_name = {name.casefold(): mid for mid, name in names.items()}
    by_part: dict[str, set[str]] = {}
    for mid, name in names.items():
        for part in name.split(","):
            by_part.setdefault(part.strip().casefold(), set()).add(mid)
    problems = []
    for query in queries:
        key = query.strip().casefold()
        matches = by_part.get(key, set())
        if query in names:
            yield query
        elif key in by_name:
            yield by_name[key]
        elif len(matches) == 1:
            yield from matches
        else:
            hint = ""
            if len(matches) > 1:
                hint = f": it may be {' or '.join(sorted(repr(names[mid]) for mid in matches))}"
            elif near := difflib.get_close_matches(key, [*by_name, *by_part], n=1):
                hint = f": did you mean {names[by_name.get(near[0]) or min(by_part[near[0]])]!r}?"
            problems.append(f"{query!r}{hint}")
    if problems:
        raise UserError(f"data.audioset.classes: AudioSet has no class {'; no '.join(problems)}")


def _descendants(mid: str, children: dict[str, list[str]]) -> set[str]:
    """Return a class and all classes below it. The ontology is no tree: a class may have several parents."""
    descendants, stack = {mid}, [mid]
    while stack:
        for child in children.get(stack.pop(), []):
            if child not in descendants:
                descendants.add(child)
                stack.append(child)
    return descendants


def labels(source: str) -> dict[str, str]:
    """Read class_labels_indices.csv: id -> display name. Raises UserError if it is another file."""
    key = "data.audioset.labels"
    path = local_path(source, key)
    rows = list(_rows(path, key))
    if not rows or [c.strip() for c in rows[0][1]] != ["index", "mid", "display_name"]:
        raise UserError(f"{key}: {source}: its columns should be index, mid, display_name")
    names = {}
    for line, row in rows[1:]:
        if len(row) != 3 or not MID.fullmatch(row[1].strip()) or not row[2].strip():
            raise UserError(
                f"{key}: {source}: line {line}: not an index, an id and a name: {','.join(row)[:60]}"
            )
        names[row[1].strip()] = row[2].strip()
    return names


def ontology(source: str) -> dict[str, tuple[str, list[str]]]:
    """Read ontology.json: id -> (name, ids of its children).

    Raises UserError if it is another file, or if it lacks a child.
    """
    key = "data.audioset.ontology"
    path = local_path(source, key)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        nodes = {entry["id"]: (entry["name"], list(entry["child_ids"])) for entry in entries}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as e:
        reason = getattr(e, "strerror", None) or f"{type(e).__name__}: {e}"
        raise UserError(f"{key}: {source}: not AudioSet's ontology ({reason})") from None
    for mid, (_, children) in nodes.items():
        if absent := [child for child in children if child not in nodes]:
            raise UserError(
                f"{key}: {source}: {absent[0]}, a child of {mid}, is not in it: download it again"
            )
    return nodes


def segments(source: str, key: str, classes: Classes) -> Iterator[Segment]:
    """Read a list of segments, with or without its comment lines.

    Raises UserError with all problems of the list, by line.
    """
    path = local_path(source, key)
    problems: list[str] = []
    unknown_mids: dict[str, int] = {}  # id of a label -> first line that has it
    for line, row in _rows(path, key):
        if row[0].startswith("#"):
            continue
        try:
            video, start, end, names = (field.strip() for field in row)
            segment = Segment(
                video, float(start), float(end), [m.strip() for m in names.split(",") if m.strip()]
            )
        except ValueError:
            problems.append(f"line {line}: not a video, a start, an end and its labels: {','.join(row)[:60]}")
            continue
        if not (math.isfinite(segment.end) and 0 <= segment.start < segment.end):
            problems.append(f"line {line}: {video} from {start} s to {end} s")
        elif not video or not segment.mids:
            problems.append(f"line {line}: no {'labels' if video else 'video'}")
        elif unknown := [mid for mid in segment.mids if mid not in classes.names]:
            unknown_mids.setdefault(unknown[0], line)
        else:
            yield segment
    if unknown_mids:
        mid, line = next(iter(unknown_mids.items()))
        problems.append(
            f"line {line}: {mid} is not in data.audioset.labels ({len(unknown_mids)} such ids):"
            " these are lists of different versions"
        )
    if problems:
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise UserError(f"{key}: {source}: {'; '.join(problems[:MAX_PROBLEMS])}{more}")


def _rows(path: Path, key: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of a CSV file, without empty lines."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as f:
            reader = csv.reader(f, skipinitialspace=True, strict=True)
            for row in reader:
                if row and any(row):
                    yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as e:
        raise UserError(f"{key}: {path}: broken quoting or not UTF-8 ({e}): download it again") from None
    except OSError as e:
        raise UserError(f"{key}: {path}: cannot be read: {e.strerror}") from None


def local_path(source: str, key: str) -> Path:
    """Return the path of a list. A URL is downloaded into `LISTS` if it is not there yet.

    key: in params.yaml, for messages. Raises UserError if there is no file, or the download fails.
    """
    if not source.startswith(("http://", "https://")):
        path = Path(source).expanduser()
        if not path.is_file():
            raise UserError(f"{key}: {source}: no such file: give a path or a URL")
        return path
    name = re.sub(r"[^A-Za-z0-9_.]", "_", source.rpartition("/")[2]) or "list"
    path = LISTS / f"{hashlib.sha256(source.encode()).hexdigest()[:8]}-{name}"
    if path.exists():
        return path
    try:
        _download(source, path, key)
    except requests.RequestException as e:
        reason = f"status {e.response.status_code}" if e.response is not None else type(e).__name__
        raise UserError(
            f"{key}: {source}: cannot be downloaded ({reason}): try again, or download it and give its path"
        ) from None
    return path


def _download(url: str, path: Path, key: str) -> None:
    """Raises UserError for a file that is too large or incomplete, else what `requests` raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with requests.get(url, stream=True, timeout=(20, 60)) as response:
        response.raise_for_status()
        with atomic_write(path) as part, open(part, "wb") as f:
            size = 0
            for block in response.iter_content(1 << 20):
                size += len(block)
                if size > MAX_BYTES:
                    raise UserError(f"{key}: {url}: over {MAX_BYTES >> 20} MB: this is no list of AudioSet's")
                f.write(block)
            expected = response.headers.get("Content-Length")
            if expected and not response.headers.get("Content-Encoding") and size != int(expected):
                raise UserError(f"{key}: {url}: only {size} of {expected} bytes were downloaded: run again")
