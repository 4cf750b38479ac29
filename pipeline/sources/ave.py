"""The source `ave`: audio-visual events in 10 s of YouTube's videos, of 28 classes.

A clip is one event, from its start to its end, as `Annotations.txt` has it: class, YouTube id, quality, start
and end, separated by `&`. The published splits are lists of these rows beside it: `trainSet.txt` in copies of
the data set, `train_order.h5` (row numbers from 0) in the repository of its authors; the same for val and
test. In copies of the data set, the file of a video is `<YouTube id>.mp4`.

With `data.ave.whole`, a clip is the whole video, and the columns `event_start` and `event_end` say when its
event is: the protocol `ave` evaluates such clips by the second.

Annotations.txt does not say where in YouTube's video the 10 s are. They are a segment of AudioSet: its lists
say it (`data.ave.audioset`).

Source: Tian et al., Audio-Visual Event Localization in Unconstrained Videos, ECCV 2018 (arXiv 1803.08842).
"""

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.sources import Clips
from pipeline.sources.folder.ids import slug
from pipeline.sources.published import list_files, media
from pipeline.sources.published.downloads import collect, finish, load, media_key, stamp
from pipeline.sources.published.in_place import fetch
from pipeline.sources.published.selection import split_conflicts

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

__all__ = ["clips", "collect", "fetch", "finish", "load", "media_key", "stamp"]

SECONDS = 10.0  # of a video
KEY = "data.ave.lists"
MAX_ROWS = 1_000_000  # of a list of row numbers
EXTRA = pa.schema(  # the columns of the clip table that only this source has
    [
        pa.field("video_id", pa.string()),
        pa.field("quality", pa.string()),
    ]
)
EVENT = [pa.field("event_start", pa.float64()), pa.field("event_end", pa.float64())]  # s, of whole videos


class Event(NamedTuple):
    """A row of Annotations.txt."""

    label: str
    video: str  # YouTube's id
    quality: str
    start: float  # s
    end: float  # s


def clips(data: "DataParams") -> Clips:
    """Return the clips, in the order of Annotations.txt. Raises UserError if a list is invalid."""
    events = read_events(_list_path(data.ave.lists, "Annotations.txt"))
    splits = read_splits(data.ave.lists, events)
    starts = _read_starts(data.ave.audioset, events) if data.media == "youtube" else {}
    rows: dict[str, dict] = {}
    for i, event in enumerate(events):
        clip_id = f"{media.safe_name(event.video)}_{slug(event.label)}"
        row: dict[str, Any] = {
            "clip_id": clip_id,
            "labels": [event.label],
            "split": splits.get(i),
            "video_id": event.video,
            "quality": event.quality,
            "place": _find_place(event._replace(start=0.0, end=SECONDS) if data.ave.whole else event, starts),
        }
        if data.ave.whole:
            row |= {"event_start": event.start, "event_end": event.end}
        rows.setdefault(clip_id, row)
    lines = []
    if n := len(events) - len(rows):
        lines.append(f"{n} rows of Annotations.txt repeat a class of a video: the first row counts")
    if n := sum(row["split"] is None for row in rows.values()):
        lines.append(f"{n} events are in none of the published splits: the stage split assigns them")
    if conflicts := split_conflicts(list(rows.values())):
        lines.append(f"{len(conflicts)} events left out, whose videos have another one in val or test")
    ids = {row["clip_id"] for row in conflicts}
    selected = [row for row in rows.values() if row["clip_id"] not in ids]
    return media.make_clips(selected, lines, data, pa.schema([*EXTRA, *EVENT]) if data.ave.whole else EXTRA)


def _find_place(event: Event, starts: dict[str, float]) -> media.Place | None:
    """Return where an event is; None for the one of the published events that has no length.

    starts: video -> start of its 10 s in YouTube's video, s.
    """
    if event.start == event.end:
        return None
    segment = None
    if event.video in starts:
        first = starts[event.video]
        segment = first + event.start, first + event.end
    return media.Place(segment, event.video, (event.start, event.end))


def read_events(source: str) -> list[Event]:
    """Read Annotations.txt, with or without a header. Raises UserError with all rows that are no event."""
    events: list[Event] = []
    problems: list[str] = []
    for line, fields in _read_fields(source):
        try:
            label, video, quality, start, end = fields
            event = Event(label, video, quality, float(start), float(end))
            if not (label and video and 0 <= event.start <= event.end <= SECONDS):
                raise ValueError
        except ValueError:
            problems.append(
                f"line {line}: not a class, an id, a quality, a start and an end within {SECONDS:g} s:"
                f" {'&'.join(fields)[:60]}"
            )
            continue
        events.append(event)
    if not events:
        problems.append("no event in it")
    list_files.raise_problems(source, KEY, problems)
    return events


def read_splits(lists: str, events: list[Event]) -> dict[int, str]:
    """Return number of an event -> its published split.

    lists: `data.ave.lists`. Raises UserError if a list is missing or has other rows than `events`.
    """
    numbers = {(event.label, event.video): i for i, event in reversed(list(enumerate(events)))}
    splits: dict[int, str] = {}
    for split in ("train", "val", "test"):
        source = _list_path(lists, f"{split}Set.txt")
        if lists.startswith(("http://", "https://")) or not os.path.isfile(source):
            source = _list_path(lists, f"{split}_order.h5")
            rows = _read_row_numbers(source)
            unknown = [str(row) for row in rows if not 0 <= row < len(events)]
        else:
            keys = [tuple(fields[:2]) for _, fields in _read_fields(source)]
            rows = [numbers[key] for key in keys if key in numbers]
            unknown = ["&".join(key) for key in keys if key not in numbers]
        if unknown:
            reason = f"{len(unknown)} rows are not in Annotations.txt, such as {unknown[0][:60]}"
            list_files.raise_problems(source, KEY, [f"{reason}: these are lists of different versions"])
        splits |= dict.fromkeys(rows, split)
    return splits


def _list_path(lists: str, name: str) -> str:
    """Return the path or URL of a list. lists: `data.ave.lists`."""
    return f"{lists.rstrip('/')}/{name}"


def _read_fields(source: str) -> list[tuple[int, list[str]]]:
    """Return (line, fields without blanks around them) of each row of a list, without its header."""
    rows = [
        (line, [field.strip() for field in fields])
        for line, fields in list_files.read_rows(source, KEY, delimiter="&")
    ]
    has_header = bool(rows) and rows[0][1][0].casefold() == "category"
    return rows[1:] if has_header else rows


def _read_row_numbers(source: str) -> list[int]:
    """Return the whole numbers in the data set `order` of an HDF5 file.

    Raises UserError if it has none. Data that HDF5 would read from another file are refused.
    """
    import h5py

    path = list_files.local_path(source, KEY)
    try:
        with h5py.File(path, "r") as file:
            order = file.get("order", getlink=True)
            values = file["order"] if isinstance(order, h5py.HardLink) else None
            if not isinstance(values, h5py.Dataset) or values.external or values.is_virtual:
                raise ValueError("no data set `order` of its own")
            if values.ndim != 1 or values.dtype.kind not in "iu" or len(values) > MAX_ROWS:
                raise ValueError("`order` is no list of whole numbers")
            return values[:].tolist()
    except (OSError, ValueError, KeyError, RuntimeError) as e:
        raise UserError(f"{KEY}: {source}: not a list of row numbers ({e}): download it again") from None


def _read_starts(sources: list[str], events: list[Event]) -> dict[str, float]:
    """Return video -> start of its segment (s) in AudioSet's lists, of the videos of `events`."""
    key = "data.ave.audioset"
    videos = {event.video for event in events}
    starts: dict[str, float] = {}
    for source in sources:
        problems = []
        for line, fields in list_files.read_rows(source, key):
            if fields[0].strip() in videos:
                try:
                    starts.setdefault(fields[0].strip(), max(float(fields[1]), 0.0))
                except (ValueError, IndexError):
                    problems.append(f"line {line}: not a video, a start, an end and its labels")
        list_files.raise_problems(source, key, problems)
    return starts
