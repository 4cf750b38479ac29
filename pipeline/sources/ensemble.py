"""The embedded data: eight instruments that play random phrases, seen and heard, as FLV files.

Every clip follows from the seed and its own number: it stays the same, byte for byte, however many there are.
A share of them is broken in the ways in which real files are.
"""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.download.step import fetched
from pipeline.errors import UserError
from pipeline.sources import ensemble_picture as picture
from pipeline.sources.ensemble_sound import INSTRUMENTS, RATE, phrase, sound
from pipeline.sources.flv import encode
from pipeline.store import clip_table as table
from pipeline.store.status import Outcome

LABELS = tuple(INSTRUMENTS)  # AudioSet's display names, the most frequent first
SKEW = 5.0  # the first label is this many times as frequent as the last
SILENT = 0.18  # the share of clips in which a second instrument is seen but not heard
KINDS = ("no_audio", "still", "short", "duet", "no_video", "truncated")  # what is wrong with a broken clip
EXTRA = pa.schema(
    [
        pa.field("kind", pa.string()),  # whole, or one of KINDS
        pa.field("aspect", pa.float64()),  # of the picture, width to height
        # Of the instrument that sounds: left, top, right, bottom in 0..1.
        pa.field("box", pa.list_(pa.float64())),
        pa.field("second_box", pa.list_(pa.float64())),  # of the second one that sounds, in a duet
        pa.field("silent_box", pa.list_(pa.float64())),  # of one that is seen but not heard
    ]
)
_GOLDEN = (5**0.5 - 1) / 2
_ID = re.compile(r"ensemble-([0-9]{5,})")


@dataclass(frozen=True, slots=True)
class Plan:
    """What one clip shows and plays, before any of it is drawn."""

    kind: str
    seconds: float
    sounding: list[picture.Placed]
    silent: list[picture.Placed]
    cut: float = 1.0  # the share of the file's bytes that is left


def clips(data) -> pa.Table:
    """The clip table of the embedded data; `data` is that section of params.yaml."""
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
    return table.from_rows(rows, EXTRA)


def notes(data, table: pa.Table) -> list[str]:
    """Nothing: all that is drawn is a clip."""
    return []


def stamp(clip: dict) -> None:
    """Nothing outside: a clip changes only with its row, the parameters or this code."""


def fetch(clip: dict, data) -> Outcome:
    """The rendered FLV of one clip of the table."""
    match = _ID.fullmatch(clip["clip_id"])
    if not match:
        raise UserError(f"{clip['clip_id']}: not a clip of the embedded data: run the stage clips again")
    return fetched(f"{clip['clip_id']}.flv", render(int(match[1]), data))


def render(number: int, data) -> bytes:
    """The FLV file (FLV1 video, MP3 sound) of clip `number`; always the same for the same seed and length."""
    plan, rng = _plan(number, data), _rng(data.ensemble.seed, number, "render")
    # The phrases last longer than any clip is asked for: a file that is cut short stops amid its music.
    music = [phrase(rng, data.clip_seconds + 0.5) for _ in plan.sounding]
    played = [(p.name, notes) for p, notes in zip(plan.sounding, music, strict=True)]
    parts = [*zip(plan.sounding, music, strict=True), *((p, []) for p in plan.silent)]
    waves = sound(played, rng, plan.seconds)
    frames = list(picture.frames(parts, rng, plan.seconds, still=plan.kind == "still"))
    seen = frames if plan.kind != "no_video" else None
    content = encode(seen, picture.FPS, waves if plan.kind != "no_audio" else None, RATE)
    return content[: round(plan.cut * len(content))]


def _rng(seed: int, number: int, use: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}:{number}:{use}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _plan(number: int, data) -> Plan:
    seed = data.ensemble.seed
    rng = _rng(seed, number, "plan")
    name = _label(number, seed)
    other = LABELS[(LABELS.index(name) + rng.integers(1, len(LABELS))) % len(LABELS)]
    silent = rng.random() < SILENT
    kind = _kind(number, data)
    seconds, cut = data.clip_seconds + 0.1, 1.0  # an encoder loses a few ms at either end
    if kind == "short":  # half of them too short to use, half only shorter than asked
        share = rng.uniform(0.08, 0.2) if rng.random() < 0.5 else rng.uniform(0.4, 0.65)
        seconds = share * data.clip_seconds
    elif kind == "truncated":
        cut = rng.uniform(0.35, 0.8)
    if kind == "duet":
        return Plan(kind, seconds, picture.place([name, other], rng), [])
    placed = picture.place([name, other] if silent else [name], rng)
    return Plan(kind, seconds, placed[:1], placed[1:], cut)


def _label(number: int, seed: int) -> str:
    """The label of clip `number`: steps of the golden ratio, so that few clips have the shares of many."""
    weights = SKEW ** (-np.arange(len(LABELS)) / (len(LABELS) - 1))
    place = (_rng(seed, 0, "labels").random() + number * _GOLDEN) % 1
    return LABELS[int(np.searchsorted(np.cumsum(weights) / weights.sum(), place, side="right"))]


def _kind(number: int, data) -> str:
    """Whole, or every 1 / broken clips one of KINDS in turn."""
    begin = _rng(data.ensemble.seed, 0, "kinds").random()
    before, after = (int(begin + k * data.ensemble.broken) for k in (number, number + 1))
    return KINDS[before % len(KINDS)] if after > before else "whole"
