"""The source `people`: embedded talking heads, so that faces, emotions and identity need no download.

People of their own looks and voices say nonsense in six emotions, in FLV files that are called as CREMA-D
calls its own. Light, colours, background, place, loudness and pitch vary from clip to clip, and people share
skins, hair and voices' heights: no mean of a picture or a sound tells who it is, or what they feel
(`python -m benchmarks.people`). A clip follows from the seed and its name: it stays the same, byte for byte,
however many there are.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.download.step import fetched
from pipeline.errors import UserError
from pipeline.sources import people_face as face
from pipeline.sources import people_voice as voice
from pipeline.sources.crema_d import EMOTIONS, EXTRA, LEVELS, NAME
from pipeline.sources.flv import encode
from pipeline.store import clip_table as table
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # sources are part of keys, the reader of params.yaml is not
    from pipeline.config import DataParams

FIRST = 1001  # the first person's number
STRENGTH = {"LO": 0.6, "MD": 0.8, "HI": 1.0, "XX": 0.8}
SENTENCES = tuple(voice.SENTENCES)


def clips(data: "DataParams") -> pa.Table:
    """The clip table: every person in every emotion, then the same with the next sentence.

    `labels` are the emotion, `subject` the person. Raises UserError where there are more clips than sentences
    for them.
    """
    wanted = data.people
    most = wanted.people * len(EMOTIONS) * len(SENTENCES)
    if wanted.clips > most:
        raise UserError(
            f"data.people.clips: {wanted.people} people say {len(SENTENCES)} sentences in {len(EMOTIONS)}"
            f" emotions, {most} clips: ask for no more than those, or for more data.people.people"
        )
    return table.from_rows([_row(number, wanted.people) for number in range(wanted.clips)], EXTRA)


def _row(number: int, people: int) -> dict:
    person, turn = number % people, number // people
    emotion, turn = list(EMOTIONS)[turn % len(EMOTIONS)], turn // len(EMOTIONS)
    sentence = SENTENCES[(turn + person) % len(SENTENCES)]
    level = "XX" if emotion == "NEU" else ("HI", "MD", "LO")[turn % 3]
    name = f"{FIRST + person}_{sentence}_{emotion}_{level}"
    return {
        "clip_id": name,
        "audio": f"people://{name}",
        "video": f"people://{name}",
        "labels": [EMOTIONS[emotion]],
        "subject": str(FIRST + person),
        "video_id": name,
        "sentence": voice.SENTENCES[sentence],
        "emotion": EMOTIONS[emotion],
        "level": LEVELS[level],
    }


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """Nothing: all that is drawn is a clip."""
    return []


def stamp(clip: dict) -> None:
    """Nothing outside: a clip changes only with its row, the parameters or this code."""


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """The rendered FLV of one clip of the table."""
    if not NAME.fullmatch(clip["clip_id"]):
        raise UserError(f"{clip['clip_id']}: not a clip of the embedded people: run the stage clips again")
    return fetched(f"{clip['clip_id']}.flv", render(clip["clip_id"], data.people.seed))


def render(name: str, seed: int) -> bytes:
    """The FLV file (FLV1 video, MP3 sound) of the clip of this name; always the same for the same seed."""
    known = NAME.fullmatch(name)
    assert known is not None
    actor, sentence, emotion, level = known.groups()
    look, own = person(int(actor), seed)
    rng = _rng(seed, name)
    speech = voice.speak(own, sentence, emotion, STRENGTH[level], rng)
    count = int(len(speech.wave) / voice.RATE * face.FPS)
    at = ((np.arange(count) + 0.5) / face.FPS * voice.RATE).astype(int)
    mien = face.mixed(emotion, STRENGTH[level], rng)
    seen = list(face.frames(look, mien, emotion, speech.opening[at], speech.width[at], rng))
    return encode(seen, face.FPS, speech.wave, voice.RATE)


def person(number: int, seed: int) -> tuple[face.Look, voice.Voice]:
    """Who it is. What can be counted goes in turns, so that several people share each of it."""
    rng, k = _rng(seed, f"person {number}"), number - FIRST
    low = k % 2 == 0
    look = face.Look(
        skin=face.SKINS[k % len(face.SKINS)],
        hair=face.HAIRS[(k // 2 + k) % len(face.HAIRS)],
        iris=face.IRISES[(k // 3) % len(face.IRISES)],
        style=face.STYLES[(k + k // len(face.STYLES)) % len(face.STYLES)],
        wide=rng.uniform(88, 110),
        high=rng.uniform(120, 144),
        jaw=rng.uniform(0, 1),
        eyes=rng.uniform(36, 46),
        eye=rng.uniform(15.5, 20.5),
        brow=rng.uniform(5, 11),
        nose=rng.uniform(15, 24),
        mouth=rng.uniform(28, 40),
        lips=rng.uniform(6, 11),
        beard=rng.choice(["none", "stubble", "beard", "moustache"]) if low else "none",
        glasses=rng.choice(["none", "none", "round", "square"]),
    )
    tract = rng.uniform(0.86, 1.0) if low else rng.uniform(0.98, 1.16)
    own = voice.Voice(
        pitch=rng.uniform(100, 160) if low else rng.uniform(150, 225),
        tract=tuple(tract * rng.uniform(0.94, 1.06, 3)),
        breath=rng.uniform(0.02, 0.2),
        jitter=rng.uniform(0.002, 0.03),
        pace=rng.uniform(3.2, 4.6),
        tilt=rng.uniform(-2, 3),
        fall=rng.uniform(0.0, 0.3),
    )
    return look, own


def _rng(seed: int, use: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}:{use}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
