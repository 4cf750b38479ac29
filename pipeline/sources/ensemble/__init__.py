"""The source `ensemble`: synthetic FLV files of eight instruments that play random phrases.

The bytes of a clip depend only on the seed and its number, not on the number of clips. A part of the clips is
broken in the same ways as real files. Others can have the faults that the stage `quality` finds (`faults`).
Further clips (`data.ensemble.negatives`) show an instrument that does not sound, and nothing in view does.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.download.step import single_file_outcome
from pipeline.errors import UserError
from pipeline.sources import Clips
from pipeline.sources.ensemble import faults, picture
from pipeline.sources.ensemble.sound import INSTRUMENTS, RATE, random_phrase, synthesize
from pipeline.sources.flv import encode_flv
from pipeline.store import clip_table
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

LABELS = tuple(INSTRUMENTS)  # AudioSet's display names, the most frequent first
SKEW = 5.0  # the first label is this many times as frequent as the last
SILENT_FRACTION = 0.18  # of the clips: those in which a second instrument is visible but silent
KINDS = ("no_audio", "still", "short", "duet", "no_video", "truncated")  # of broken clips
# Of clips in which nothing in view sounds: an instrument is heard that is not in view, or none is.
NEGATIVE_KINDS = ("off_screen", "silent")
EXTRA = pa.schema(  # the columns of the clip table that only this source has
    [
        pa.field("kind", pa.string()),  # whole, or one of KINDS, of NEGATIVE_KINDS or of faults.FAULTS
        pa.field("aspect", pa.float64()),  # width / height of the picture
        # Bounding boxes: left, top, right, bottom in 0..1. `box`: the instrument that sounds.
        pa.field("box", pa.list_(pa.float64())),
        pa.field("second_box", pa.list_(pa.float64())),  # the second instrument of a duet
        pa.field("silent_box", pa.list_(pa.float64())),  # a visible, silent instrument
    ]
)
BIT_RATES = (500_000, 64_000)  # bit/s of picture and sound
_GOLDEN_RATIO = (5**0.5 - 1) / 2
_ID = re.compile(r"ensemble-(n?)([0-9]{5,})")  # n: of a clip in which nothing in view sounds


@dataclass(frozen=True, slots=True)
class Plan:
    """The contents of one clip, before it is rendered."""

    kind: str  # whole, or one of KINDS, of NEGATIVE_KINDS or of faults.FAULTS
    seconds: float
    sounding: list[picture.PlacedInstrument]  # one, or two in a duet
    silent: list[picture.PlacedInstrument]  # instruments that are visible and do not play: one or none
    file_fraction: float = 1.0  # of the file's bytes, from its beginning; less than 1 for a truncated file
    original: int | None = None  # number of the clip that this one is a copy of
    off_screen: str | None = None  # an instrument that sounds and is not in view


def clips(data: "DataParams") -> Clips:
    """Return the clip table, with the columns EXTRA: `data.ensemble.clips` rows, then those of `negatives`.

    data: the section `data` of params.yaml.
    """
    rows = []
    for number in range(data.ensemble.clips):
        clip_id = f"ensemble-{number:05d}"
        plan = _make_plan(number, data)
        address = f"ensemble://{clip_id}"
        if plan.original is not None:  # whose sound and picture the copy has, and how it was made
            address = f"ensemble://ensemble-{plan.original:05d}/{plan.kind}"
        rows.append(_table_row(clip_id, address, plan))
    for number in range(data.ensemble.negatives):
        clip_id = f"ensemble-n{number:05d}"
        rows.append(_table_row(clip_id, f"ensemble://{clip_id}", _make_negative_plan(number, data)))
    return Clips(clip_table.from_rows(rows, EXTRA), [])


def _table_row(clip_id: str, address: str, plan: Plan) -> dict:
    """Return the row of a clip in the clip table."""
    has_picture = plan.kind not in ("no_video", *faults.CHANGED_PICTURES)
    boxes = [list(placed.box) for placed in plan.sounding] if has_picture else []
    silent_boxes = [list(placed.box) for placed in plan.silent] if has_picture else []
    off_screen = [plan.off_screen] if plan.off_screen else []
    return {
        "clip_id": clip_id,
        "audio": address,
        "video": address,
        "labels": [placed.name for placed in plan.sounding] + off_screen,
        "kind": plan.kind,
        "aspect": picture.WIDTH / picture.HEIGHT,
        "box": boxes[0] if boxes else None,
        "second_box": boxes[1] if len(boxes) > 1 else None,
        "silent_box": silent_boxes[0] if silent_boxes else None,
    }


def stamp(clip: dict) -> None:
    """Return None: there is no file that could change. A clip depends only on row, parameters and code."""


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Render a clip. The outcome's value is its FLV file, as a media shard holds it.

    clip: a row of the clip table. Raises UserError if it is not a clip of this source.
    """
    match = _ID.fullmatch(clip["clip_id"])
    if not match:
        raise UserError(f"{clip['clip_id']}: not a clip of the synthetic ensemble: run the stage clips again")
    make_clip = render_negative if match[1] else render
    return single_file_outcome(f"{clip['clip_id']}.flv", make_clip(int(match[2]), data))


def render(number: int, data: "DataParams") -> bytes:
    """Return the FLV file (FLV1 video, MP3 sound) of clip `number`.

    The bytes are always the same for the same number, `data.ensemble.seed` and `data.clip_seconds`.
    """
    plan = _make_plan(number, data)
    source = number if plan.original is None else plan.original  # a copy has the same random numbers
    return _render_plan(plan, _make_rng(data.ensemble.seed, source, "render"), data)


def render_negative(number: int, data: "DataParams") -> bytes:
    """Return the FLV file of clip `number` of those in which nothing in view sounds; see `render`."""
    rng = _make_rng(data.ensemble.seed, number, "render negative")
    return _render_plan(_make_negative_plan(number, data), rng, data)


def _render_plan(plan: Plan, rng: np.random.Generator, data: "DataParams") -> bytes:
    """Return the FLV file of a clip with these contents."""
    names = [placed.name for placed in plan.sounding] + ([plan.off_screen] if plan.off_screen else [])
    # The phrases are longer than the clip: a short file ends while its instruments play.
    phrases = [random_phrase(rng, data.clip_seconds + 0.5) for _ in names]
    waves = synthesize(list(zip(names, phrases, strict=True)), rng, plan.seconds)
    phrases_in_view = phrases[: len(plan.sounding)]  # that of an instrument off screen comes last
    instruments = [
        *zip(plan.sounding, phrases_in_view, strict=True),
        *((placed, []) for placed in plan.silent),
    ]
    frames = list(picture.frames(instruments, rng, plan.seconds, is_still=plan.kind == "still"))
    bit_rates = BIT_RATES
    if plan.kind in faults.FAULTS:
        others: list[np.ndarray] = []
        if plan.kind == "cuts":
            scene = picture.place_instruments([LABELS[rng.integers(len(LABELS))]], rng)
            others = list(picture.frames([(scene[0], phrases[0])], rng, plan.seconds))
        frames = faults.change_pictures(plan.kind, frames, others, rng)
        waves = faults.change_sound(plan.kind, waves)
        bit_rates = faults.REENCODED_RATES if plan.kind == "reencoded" else BIT_RATES
    content = encode_flv(
        frames if plan.kind != "no_video" else None,
        picture.FPS,
        waves if plan.kind != "no_audio" else None,
        RATE,
        bit_rates,
    )
    return content[: round(plan.file_fraction * len(content))]


def _make_rng(seed: int, number: int, use: str) -> np.random.Generator:
    """Return a random generator. The same arguments give the same random numbers.

    number: of the clip. use: what the random numbers are for; each use has its own sequence.
    """
    digest = hashlib.sha256(f"{seed}:{number}:{use}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _make_plan(number: int, data: "DataParams") -> Plan:
    """Return the contents of clip `number`: instruments, their places, its length, and how it is broken."""
    seed = data.ensemble.seed
    rng = _make_rng(seed, number, "plan")
    name = _label(number, seed)
    # The second instrument, if there is one, is any of the others.
    second_name = LABELS[(LABELS.index(name) + rng.integers(1, len(LABELS))) % len(LABELS)]
    has_silent = rng.random() < SILENT_FRACTION
    kind = _kind(number, data)
    if kind in faults.COPIES and (original := _nearest_whole(number, data)) is not None:
        return replace(_make_plan(original, data), kind=kind, original=original)
    seconds = data.clip_seconds + 0.1  # the encoder loses a few ms at both ends
    file_fraction = 1.0
    if kind == "short":
        is_too_short_to_use = rng.random() < 0.5  # the others can be padded
        fraction = rng.uniform(0.08, 0.2) if is_too_short_to_use else rng.uniform(0.4, 0.65)
        seconds = fraction * data.clip_seconds
    elif kind == "truncated":
        file_fraction = rng.uniform(0.35, 0.8)
    if kind == "duet":
        return Plan(kind, seconds, picture.place_instruments([name, second_name], rng), [])
    placed = picture.place_instruments([name, second_name] if has_silent else [name], rng)
    return Plan(kind, seconds, placed[:1], placed[1:], file_fraction)


def _make_negative_plan(number: int, data: "DataParams") -> Plan:
    """Return the contents of clip `number` of those in which nothing in view sounds.

    They are of NEGATIVE_KINDS in turn. One instrument is in view and does not play. `off_screen`: another one
    is heard.
    """
    seed = data.ensemble.seed
    rng = _make_rng(seed, number, "plan negative")
    kind = NEGATIVE_KINDS[number % len(NEGATIVE_KINDS)]
    name = _label(number, seed)
    other_name = LABELS[(LABELS.index(name) + rng.integers(1, len(LABELS))) % len(LABELS)]
    silent = picture.place_instruments([name], rng)
    off_screen = other_name if kind == "off_screen" else None
    return Plan(kind, data.clip_seconds + 0.1, [], silent, off_screen=off_screen)


def _label(number: int, seed: int) -> str:
    """Return the label of clip `number`. LABELS get less frequent from the first to the last.

    Each label has a part of 0..1 that is as wide as the label is frequent. Multiples of the golden ratio,
    modulo 1, are spread evenly: so even few clips have labels in about the right proportions.
    """
    weights = SKEW ** (-np.arange(len(LABELS)) / (len(LABELS) - 1))
    upper_ends = np.cumsum(weights) / weights.sum()  # of each label's part of 0..1
    position = (_make_rng(seed, 0, "labels").random() + number * _GOLDEN_RATIO) % 1
    return LABELS[int(np.searchsorted(upper_ends, position, side="right"))]


def _kind(number: int, data: "DataParams") -> str:
    """Return how clip `number` is broken, one of KINDS in turn; else its fault, one of FAULTS; else `whole`.

    The fraction `data.ensemble.broken` of the clips is broken, evenly spread over the numbers. Of the others,
    the fraction `data.ensemble.faults` has a fault.
    """
    offset = _make_rng(data.ensemble.seed, 0, "kinds").random()
    n_broken_before = int(offset + number * data.ensemble.broken)  # clips before this one
    n_broken_with_this = int(offset + (number + 1) * data.ensemble.broken)
    is_broken = n_broken_with_this > n_broken_before
    if is_broken:
        return KINDS[n_broken_before % len(KINDS)]
    n_others_before = number - n_broken_before
    n_faults_before = int(n_others_before * data.ensemble.faults)
    has_fault = int((n_others_before + 1) * data.ensemble.faults) > n_faults_before
    return faults.FAULTS[n_faults_before % len(faults.FAULTS)] if has_fault else "whole"


def _nearest_whole(number: int, data: "DataParams") -> int | None:
    """Return the number of the last whole clip before clip `number`; None if there is none."""
    return next((n for n in reversed(range(number)) if _kind(n, data) == "whole"), None)
