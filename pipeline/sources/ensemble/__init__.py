"""The source `ensemble`: synthetic FLV files of eight instruments that play random phrases.

The bytes of a clip depend only on the seed and its number, not on the number of clips. A share of the clips
is broken in the same ways as real files.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.download.step import single_file_outcome
from pipeline.errors import UserError
from pipeline.sources.ensemble import picture
from pipeline.sources.ensemble.sound import INSTRUMENTS, RATE, phrase, sound
from pipeline.sources.flv import encode
from pipeline.store import clip_table
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

LABELS = tuple(INSTRUMENTS)  # AudioSet's display names, the most frequent first
SKEW = 5.0  # the first label is this many times as frequent as the last
SILENT = 0.18  # share of the clips in which a second instrument is visible but silent
KINDS = ("no_audio", "still", "short", "duet", "no_video", "truncated")  # of broken clips
EXTRA = pa.schema(
    [
        pa.field("kind", pa.string()),  # whole, or one of KINDS
        pa.field("aspect", pa.float64()),  # width / height of the picture
        # Bounding boxes: left, top, right, bottom in 0..1. `box`: the instrument that sounds.
        pa.field("box", pa.list_(pa.float64())),
        pa.field("second_box", pa.list_(pa.float64())),  # the second instrument of a duet
        pa.field("silent_box", pa.list_(pa.float64())),  # a visible, silent instrument
    ]
)
_GOLDEN = (5**0.5 - 1) / 2
_ID = re.compile(r"ensemble-([0-9]{5,})")


@dataclass(frozen=True, slots=True)
class Plan:
    """The contents of one clip, before it is rendered."""

    kind: str
    seconds: float
    sounding: list[picture.PlacedInstrument]
    silent: list[picture.PlacedInstrument]
    file_share: float = 1.0  # of the file's bytes; less than 1 for a truncated file


def clips(data: "DataParams") -> pa.Table:
    """Return the clip table."""
    rows = []
    for number in range(data.ensemble.clips):
        clip_id = f"ensemble-{number:05d}"
        plan = _plan(number, data)
        boxes = [list(p.box) for p in plan.sounding] if plan.kind != "no_video" else []
        rows.append(
            {
                "clip_id": clip_id,
                "audio": f"ensemble://{clip_id}",
                "video": f"ensemble://{clip_id}",
                "labels": [p.name for p in plan.sounding],
                "kind": plan.kind,
                "aspect": picture.WIDTH / picture.HEIGHT,
                "box": boxes[0] if boxes else None,
                "second_box": boxes[1] if len(boxes) > 1 else None,
                "silent_box": list(plan.silent[0].box) if boxes and plan.silent else None,
            }
        )
    return clip_table.from_rows(rows, EXTRA)


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """Return no notes: every rendered clip is in the table."""
    return []


def stamp(clip: dict) -> None:
    """Return None: a clip depends only on its row, the parameters and the code."""


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Render the FLV file of a clip of the table."""
    match = _ID.fullmatch(clip["clip_id"])
    if not match:
        raise UserError(f"{clip['clip_id']}: not a clip of the synthetic ensemble: run the stage clips again")
    return single_file_outcome(f"{clip['clip_id']}.flv", render(int(match[1]), data))


def render(number: int, data: "DataParams") -> bytes:
    """Return the FLV file (FLV1 video, MP3 sound) of clip `number`; the same for the same seed and length."""
    plan, rng = _plan(number, data), _rng(data.ensemble.seed, number, "render")
    # The phrases are longer than the clip: a short file ends while its instruments play.
    phrases = [phrase(rng, data.clip_seconds + 0.5) for _ in plan.sounding]
    parts = [(placed.name, notes) for placed, notes in zip(plan.sounding, phrases, strict=True)]
    waves = sound(parts, rng, plan.seconds)
    instruments = [*zip(plan.sounding, phrases, strict=True), *((placed, []) for placed in plan.silent)]
    frames = list(picture.frames(instruments, rng, plan.seconds, still=plan.kind == "still"))
    content = encode(
        frames if plan.kind != "no_video" else None,
        picture.FPS,
        waves if plan.kind != "no_audio" else None,
        RATE,
    )
    return content[: round(plan.file_share * len(content))]


def _rng(seed: int, number: int, use: str) -> np.random.Generator:
    """Return a generator that depends on all arguments."""
    digest = hashlib.sha256(f"{seed}:{number}:{use}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _plan(number: int, data: "DataParams") -> Plan:
    seed = data.ensemble.seed
    rng = _rng(seed, number, "plan")
    name = _label(number, seed)
    second_name = LABELS[(LABELS.index(name) + rng.integers(1, len(LABELS))) % len(LABELS)]
    has_silent = rng.random() < SILENT
    kind = _kind(number, data)
    seconds, file_share = data.clip_seconds + 0.1, 1.0  # + 0.1: the encoder loses a few ms at both ends
    if kind == "short":  # half of them are too short to use, half only shorter than data.clip_seconds
        share = rng.uniform(0.08, 0.2) if rng.random() < 0.5 else rng.uniform(0.4, 0.65)
        seconds = share * data.clip_seconds
    elif kind == "truncated":
        file_share = rng.uniform(0.35, 0.8)
    if kind == "duet":
        return Plan(kind, seconds, picture.place([name, second_name], rng), [])
    placed = picture.place([name, second_name] if has_silent else [name], rng)
    return Plan(kind, seconds, placed[:1], placed[1:], file_share)


def _label(number: int, seed: int) -> str:
    """Return the label of clip `number`.

    Steps of the golden ratio spread the clips evenly over the labels' shares, also when there are few.
    """
    weights = SKEW ** (-np.arange(len(LABELS)) / (len(LABELS) - 1))
    place = (_rng(seed, 0, "labels").random() + number * _GOLDEN) % 1
    return LABELS[int(np.searchsorted(np.cumsum(weights) / weights.sum(), place, side="right"))]


def _kind(number: int, data: "DataParams") -> str:
    """Return `whole`, or one of KINDS in turn for a share of `data.ensemble.broken` of the clips."""
    offset = _rng(data.ensemble.seed, 0, "kinds").random()
    before, after = (int(offset + k * data.ensemble.broken) for k in (number, number + 1))
    return KINDS[before % len(KINDS)] if after > before else "whole"
