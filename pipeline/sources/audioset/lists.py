"""Read AudioSet's published lists (segments, class names, ontology) and select classes by name or id."""

import difflib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import UserError
from pipeline.sources.published import list_files

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config.data import AudioSetParams

MID = re.compile(r"/[a-z]/[A-Za-z0-9_]+")  # the id of a class, Freebase's "machine id"

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
    """A row of a list of segments: a part of a video, and its labels."""

    video: str  # YouTube's id
    start: float  # s
    end: float  # s
    mids: list[str]  # ids of its labels, such as /m/09x0r


@dataclass(frozen=True)
class Classes:
    """AudioSet's classes, and those that the user has selected.

    names: id -> display name, of all classes. selected: display name -> the ids that count as this class, of
    the selected classes. They are its own id and perhaps those of its descendants in the ontology.
    """

    names: dict[str, str]
    selected: dict[str, set[str]]

    @classmethod
    def read(cls, selection: "AudioSetParams") -> "Classes":
        """Read the lists of the section data.audioset, and select its classes.

        Raises UserError for a class that does not exist, and for a list that cannot be read.
        """
        names = read_labels(selection.labels)
        nodes = read_ontology(selection.ontology)
        presets = {"all": tuple(names.values()), "musical": MUSICAL, "five": FIVE}
        classes = selection.classes
        queries = presets[classes] if isinstance(classes, str) else classes
        # No segment has a label that is only in the ontology, but one may have a descendant of it.
        all_names = {mid: node.name for mid, node in nodes.items()} | names
        children = {mid: node.children for mid, node in nodes.items()} if selection.descendants else {}
        selected = {all_names[mid]: _descendants(mid, children) for mid in _find_classes(queries, all_names)}
        return cls(names, selected)

    def selected_names(self, mids: list[str]) -> list[str]:
        """Return the names of the selected classes that a segment has. mids: ids of its labels."""
        return [name for name, class_mids in self.selected.items() if not class_mids.isdisjoint(mids)]


class Node(NamedTuple):
    """A class of the ontology."""

    name: str
    children: list[str]  # ids


def _find_classes(queries: Sequence[str], names: dict[str, str]) -> Iterator[str]:
    """Yield the ids of the classes that the user asks for. names: id -> display name.

    A query is an id, a display name, or one of the parts of a display name between commas, if only one class
    has this part. Raises UserError with all queries that are none of these.
    """
    mids_by_name = {name.casefold(): mid for mid, name in names.items()}
    mids_by_part: dict[str, set[str]] = {}
    for mid, name in names.items():
        for part in name.split(","):
            mids_by_part.setdefault(part.strip().casefold(), set()).add(mid)
    problems = []
    for query in queries:
        text = query.strip().casefold()
        matches = mids_by_part.get(text, set())
        if query in names:
            yield query
        elif text in mids_by_name:
            yield mids_by_name[text]
        elif len(matches) == 1:
            yield from matches
        else:
            hint = ""
            if len(matches) > 1:
                hint = f": it may be {' or '.join(sorted(repr(names[mid]) for mid in matches))}"
            elif similar := difflib.get_close_matches(text, [*mids_by_name, *mids_by_part], n=1):
                mid = mids_by_name.get(similar[0]) or min(mids_by_part[similar[0]])
                hint = f": did you mean {names[mid]!r}?"
            problems.append(f"{query!r}{hint}")
    if problems:
        raise UserError(f"data.audioset.classes: AudioSet has no class {'; no '.join(problems)}")


def _descendants(mid: str, children: dict[str, list[str]]) -> set[str]:
    """Return the ids of a class and of all classes below it. children: id -> ids.

    The ontology is no tree: a class may have several parents. So each class is visited once.
    """
    visited, stack = {mid}, [mid]
    while stack:
        for child in children.get(stack.pop(), []):
            if child not in visited:
                visited.add(child)
                stack.append(child)
    return visited


def read_labels(source: str) -> dict[str, str]:
    """Read class_labels_indices.csv: return id -> display name. source: its path or URL.

    Raises UserError if it is another file.
    """
    key = "data.audioset.labels"
    rows = list(list_files.read_rows(source, key))
    header = rows[0][1] if rows else []
    if [column.strip() for column in header] != ["index", "mid", "display_name"]:
        raise UserError(f"{key}: {source}: its columns should be index, mid, display_name")
    names = {}
    for line, fields in rows[1:]:
        _, mid, name = (field.strip() for field in fields) if len(fields) == 3 else ("", "", "")
        if not MID.fullmatch(mid) or not name:
            raise UserError(
                f"{key}: {source}: line {line}: not an index, an id and a name: {','.join(fields)[:60]}"
            )
        names[mid] = name
    return names


def read_ontology(source: str) -> dict[str, Node]:
    """Read ontology.json: return id -> class. source: its path or URL.

    Raises UserError if it is another file, or if a child of a class is missing.
    """
    key = "data.audioset.ontology"
    entries = list_files.read_json(source, key)
    try:
        nodes = {entry["id"]: Node(entry["name"], list(entry["child_ids"])) for entry in entries}
    except (TypeError, KeyError) as e:
        raise UserError(f"{key}: {source}: not AudioSet's ontology ({type(e).__name__}: {e})") from None
    for mid, node in nodes.items():
        if missing := [child for child in node.children if child not in nodes]:
            raise UserError(
                f"{key}: {source}: {missing[0]}, a child of {mid}, is not in it: download it again"
            )
    return nodes


def read_segments(source: str, key: str, classes: Classes) -> Iterator[Segment]:
    """Yield the segments of a list, with or without its comment lines.

    source: its path or URL. key: of the parameter, for messages. Raises UserError at the end, with all
    problems of the list, by line.
    """
    problems: list[str] = []
    unknown_mids: dict[str, int] = {}  # id of a label -> first line that has it
    for line, fields in list_files.read_rows(source, key):
        if fields[0].startswith("#"):
            continue
        try:
            video, start, end, labels = (field.strip() for field in fields)
            mids = [mid.strip() for mid in labels.split(",") if mid.strip()]
            segment = Segment(video, float(start), float(end), mids)
        except ValueError:  # another number of fields, or no numbers
            text = ",".join(fields)[:60]
            problems.append(f"line {line}: not a video, a start, an end and its labels: {text}")
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
    list_files.raise_problems(source, key, problems)
