"""AudioSet's lists as they are published: segments, class names, the ontology; which classes are meant."""

import csv
import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from pipeline.errors import UserError
from pipeline.store.atomic import atomic_write

LISTS = Path("data/lists")  # what was fetched
MOST = 500 << 20  # bytes of one list: the largest that is published has 100 MB
SHOWN = 20  # problems told one by one
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
# Those of VideoSound-Matching.
FIVE = ("Acoustic guitar", "Bird", "Child speech, kid speaking", "Flute", "Piano")


@dataclass(frozen=True, slots=True)
class Segment:
    video: str
    start: float
    end: float
    mids: list[str]


@dataclass(frozen=True)
class Classes:
    """names: id -> display name, of all. chosen: display name -> the ids that count as it."""

    names: dict[str, str]
    chosen: dict[str, set[str]]

    @classmethod
    def read(cls, wanted) -> "Classes":
        """Those that `wanted` (data.audioset) asks for. Raises UserError where a name is not known."""
        names, nodes = labels(wanted.labels), ontology(wanted.ontology)
        asked = {"all": tuple(names.values()), "musical": MUSICAL, "five": FIVE}
        # Some classes are in the ontology alone: no segment has them, though one may have a child of theirs.
        known = {mid: name for mid, (name, _) in nodes.items()} | names
        found = {known[mid]: mid for mid in _known(wanted.classes, asked, known)}
        below = {mid: children for mid, (_, children) in nodes.items()} if wanted.descendants else {}
        return cls(names, {name: _under(mid, below) for name, mid in found.items()})

    def of(self, mids: list[str]) -> list[str]:
        """The chosen classes of a segment with these ids."""
        return [name for name, under in self.chosen.items() if not under.isdisjoint(mids)]


def _known(classes: str | list[str], asked: dict, names: dict[str, str]) -> Iterator[str]:
    """Ids of the classes asked for: by id, by display name, or by one of its words between commas."""
    exact = {name.casefold(): mid for mid, name in names.items()}
    parts: dict[str, set[str]] = {}
    for mid, name in names.items():
        for part in name.split(","):
            parts.setdefault(part.strip().casefold(), set()).add(mid)
    wrong = []
    for name in asked[classes] if isinstance(classes, str) else classes:
        key = name.strip().casefold()
        alike = parts.get(key, set())
        if name in names:
            yield name
        elif key in exact:
            yield exact[key]
        elif len(alike) == 1:
            yield from alike
        else:
            near = difflib.get_close_matches(key, [*exact, *parts], n=1)
            hint = f"did you mean {names[exact.get(near[0]) or min(parts[near[0]])]!r}?" if near else ""
            if len(alike) > 1:
                hint = f"it may be {' or '.join(sorted(repr(names[mid]) for mid in alike))}"
            wrong.append(f"{name!r}{': ' + hint if hint else ''}")
    if wrong:
        raise UserError(f"data.audioset.classes: AudioSet has no class {'; no '.join(wrong)}")


def _under(mid: str, below: dict[str, list[str]]) -> set[str]:
    found, todo = {mid}, [mid]
    while todo:
        for child in below.get(todo.pop(), []):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def labels(source: str) -> dict[str, str]:
    """class_labels_indices.csv: id -> display name. Raises UserError where it is something else."""
    path, key = located(source, "data.audioset.labels"), "data.audioset.labels"
    rows = list(_rows(path, key))
    if not rows or [c.strip() for c in rows[0][1]] != ["index", "mid", "display_name"]:
        raise UserError(f"{key}: {source}: its columns should be index, mid, display_name")
    found = {}
    for line, row in rows[1:]:
        if len(row) != 3 or not MID.fullmatch(row[1].strip()) or not row[2].strip():
            raise UserError(
                f"{key}: {source}: line {line}: not an index, an id and a name: {','.join(row)[:60]}"
            )
        found[row[1].strip()] = row[2].strip()
    return found


def ontology(source: str) -> dict[str, tuple[str, list[str]]]:
    """ontology.json: id -> name, ids of its children. Raises UserError where a child is not there."""
    key = "data.audioset.ontology"
    path = located(source, key)
    try:
        nodes = json.loads(path.read_text(encoding="utf-8"))
        found = {node["id"]: (node["name"], list(node["child_ids"])) for node in nodes}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as e:
        reason = getattr(e, "strerror", None) or f"{type(e).__name__}: {e}"
        raise UserError(f"{key}: {source}: not AudioSet's ontology ({reason})") from None
    for mid, (_, children) in found.items():
        if gone := [child for child in children if child not in found]:
            raise UserError(f"{key}: {source}: {gone[0]}, a child of {mid}, is not in it: fetch it again")
    return found


def segments(source: str, key: str, classes: Classes) -> Iterator[Segment]:
    """A list of segments, with or without its comment lines.

    Raises UserError that names all that is wrong in it, by line.
    """
    path = located(source, key)
    wrong: list[str] = []
    strange: dict[str, int] = {}
    for line, row in _rows(path, key):
        if row[0].startswith("#"):
            continue
        try:
            video, start, end, names = (field.strip() for field in row)
            segment = Segment(
                video, float(start), float(end), [m.strip() for m in names.split(",") if m.strip()]
            )
        except ValueError:
            wrong.append(f"line {line}: not a video, a start, an end and its labels: {','.join(row)[:60]}")
            continue
        if not (math.isfinite(segment.end) and 0 <= segment.start < segment.end):
            wrong.append(f"line {line}: {video} from {start} s to {end} s")
        elif not video or not segment.mids:
            wrong.append(f"line {line}: no {'labels' if video else 'video'}")
        elif unknown := [mid for mid in segment.mids if mid not in classes.names]:
            strange.setdefault(unknown[0], line)
        else:
            yield segment
    if strange:
        mid, line = next(iter(strange.items()))
        wrong.append(
            f"line {line}: {mid} is not in data.audioset.labels ({len(strange)} such ids):"
            " these are lists of different versions"
        )
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise UserError(f"{key}: {source}: {'; '.join(wrong[:SHOWN])}{more}")


def _rows(path: Path, key: str) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of a CSV file, without empty lines."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as f:
            reader = csv.reader(f, skipinitialspace=True, strict=True)
            for row in reader:
                if row and any(row):
                    yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as e:
        raise UserError(f"{key}: {path}: broken quoting or not UTF-8 ({e}): fetch it again") from None
    except OSError as e:
        raise UserError(f"{key}: {path}: cannot be read: {e.strerror}") from None


def located(source: str, key: str) -> Path:
    """A path as it is; a URL as the file that it was fetched to. Raises UserError where neither is there."""
    if not source.startswith(("http://", "https://")):
        path = Path(source).expanduser()
        if not path.is_file():
            raise UserError(f"{key}: {source}: no such file: give a path or a URL")
        return path
    name = re.sub(r"[^A-Za-z0-9_.]", "_", source.rpartition("/")[2]) or "list"
    path = LISTS / f"{hashlib.sha256(source.encode()).hexdigest()[:8]}-{name}"
    if path.exists():
        return path
    LISTS.mkdir(parents=True, exist_ok=True)
    try:
        with requests.get(source, stream=True, timeout=(20, 60)) as answer:
            answer.raise_for_status()
            with atomic_write(path) as part, open(part, "wb") as f:
                size = 0
                for block in answer.iter_content(1 << 20):
                    size += len(block)
                    if size > MOST:
                        raise UserError(
                            f"{key}: {source}: over {MOST >> 20} MB: that is no list of AudioSet's"
                        )
                    f.write(block)
                wanted = answer.headers.get("Content-Length")
                if wanted and not answer.headers.get("Content-Encoding") and size != int(wanted):
                    raise UserError(f"{key}: {source}: only {size} of {wanted} bytes came: run again")
    except requests.RequestException as e:
        reason = f"status {e.response.status_code}" if e.response is not None else type(e).__name__
        raise UserError(
            f"{key}: {source}: cannot be fetched ({reason}): try again, or fetch it and give its path"
        ) from None
    return path
