"""The source `people`: synthetic talking heads, so that faces, emotions and identities need no download.

Each person has a face and a voice, and says nonsense sentences in six emotions. The FLV files are named like
those of CREMA-D. Light, colours, background, position, loudness and pitch vary from clip to clip, and people
share colours of skin and hair and the range of their voices: no mean of a picture or a sound reveals person
or emotion (`python -m benchmarks.people`). The bytes of a clip depend only on the seed and its name, not on
the number of clips.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from pipeline.download.step import single_file_outcome
from pipeline.errors import UserError
from pipeline.sources import Clips
from pipeline.sources.crema_d import EMOTIONS, EXTRA, LEVELS, NAME
from pipeline.sources.flv import encode_flv
from pipeline.sources.people import face, head, voice
from pipeline.store import clip_table
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

FIRST_ACTOR = 1001  # the number of the first person
STRENGTH = {"LO": 0.6, "MD": 0.8, "HI": 1.0, "XX": 0.8}  # level -> strength of the emotion
SENTENCES = tuple(voice.SENTENCES)


def clips(data: "DataParams") -> Clips:
    """Return the clip table: every person in every emotion, then the same with the next sentence.

    `labels` are the emotion, `subject` the person. Raises UserError if there are not enough sentences for
    `data.people.clips`.
    """
    params = data.people
    limit = params.people * len(EMOTIONS) * len(SENTENCES)
    if params.clips > limit:
        raise UserError(
            f"data.people.clips: {params.people} people say {len(SENTENCES)} sentences in {len(EMOTIONS)}"
            f" emotions, {limit} clips: use at most so many, or raise data.people.people"
        )
    rows = [_make_row(number, params.people) for number in range(params.clips)]
    return Clips(clip_table.from_rows(rows, EXTRA), [])


def _make_row(number: int, n_people: int) -> dict:
    """Return the row of clip `number`. First come all people, then all emotions, then all sentences."""
    emotion_number, person_number = divmod(number, n_people)
    sentence_number, emotion_number = divmod(emotion_number, len(EMOTIONS))
    actor = FIRST_ACTOR + person_number
    emotion = list(EMOTIONS)[emotion_number]
    sentence = SENTENCES[(sentence_number + person_number) % len(SENTENCES)]
    level = "XX" if emotion == "NEU" else ("HI", "MD", "LO")[sentence_number % 3]
    name = f"{actor}_{sentence}_{emotion}_{level}"
    return {
        "clip_id": name,
        "audio": f"people://{name}",
        "video": f"people://{name}",
        "labels": [EMOTIONS[emotion]],
        "subject": str(actor),
        "video_id": name,
        "sentence": voice.SENTENCES[sentence],
        "emotion": EMOTIONS[emotion],
        "level": LEVELS[level],
    }


def stamp(clip: dict) -> None:
    """Return None: there is no file that could change. A clip depends only on row, parameters and code."""


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Render a clip. The outcome's value is its FLV file, as a media shard holds it.

    clip: a row of the clip table. Raises UserError if it is not a clip of this source.
    """
    if not NAME.fullmatch(clip["clip_id"]):
        raise UserError(f"{clip['clip_id']}: not a clip of the synthetic people: run the stage clips again")
    return single_file_outcome(f"{clip['clip_id']}.flv", render(clip["clip_id"], data.people.seed))


def render(name: str, seed: int) -> bytes:
    """Return the FLV file (FLV1 video, MP3 sound) of a clip. The bytes are always the same for the same seed.

    name: the id of the clip, such as 1001_IEO_HAP_LO: actor, sentence, emotion, level.
    """
    match = NAME.fullmatch(name)
    assert match is not None
    actor, sentence, emotion, level = match.groups()
    appearance, speaker = make_person(int(actor), seed)
    rng = _make_rng(seed, name)
    speech = voice.speak(speaker, sentence, emotion, STRENGTH[level], rng)
    n_frames = int(len(speech.wave) / voice.RATE * face.FPS)
    frame_middles = ((np.arange(n_frames) + 0.5) / face.FPS * voice.RATE).astype(int)  # in samples
    expression = face.random_expression(emotion, STRENGTH[level], rng)
    opening, width = speech.opening[frame_middles], speech.width[frame_middles]
    frames = list(face.frames(appearance, expression, emotion, opening, width, rng))
    return encode_flv(frames, face.FPS, speech.wave, voice.RATE)


def make_person(actor: int, seed: int) -> tuple[head.Appearance, voice.Voice]:
    """Return the face and the voice of a person. actor: the person's number, from FIRST_ACTOR on.

    Skin, hair, iris and style go in turns, so that several people share each of them. The rest is random.
    """
    rng = _make_rng(seed, f"person {actor}")
    k = actor - FIRST_ACTOR
    has_low_voice = k % 2 == 0
    appearance = head.Appearance(
        skin=head.SKINS[k % len(head.SKINS)],
        hair=head.HAIRS[(k // 2 + k) % len(head.HAIRS)],
        iris=head.IRISES[(k // 3) % len(head.IRISES)],
        style=head.STYLES[(k + k // len(head.STYLES)) % len(head.STYLES)],
        half_width=rng.uniform(88, 110),
        half_height=rng.uniform(120, 144),
        jaw=rng.uniform(0, 1),
        eye_distance=rng.uniform(36, 46),
        eye_size=rng.uniform(15.5, 20.5),
        brow=rng.uniform(5, 11),
        nose=rng.uniform(15, 24),
        mouth=rng.uniform(28, 40),
        lips=rng.uniform(6, 11),
        beard=rng.choice(["none", "stubble", "beard", "moustache"]) if has_low_voice else "none",
        glasses=rng.choice(["none", "none", "round", "square"]),
    )
    tract = rng.uniform(0.86, 1.0) if has_low_voice else rng.uniform(0.98, 1.16)
    speaker = voice.Voice(
        pitch=rng.uniform(100, 160) if has_low_voice else rng.uniform(150, 225),
        tract=tuple(tract * rng.uniform(0.94, 1.06, 3)),
        breath=rng.uniform(0.02, 0.2),
        jitter=rng.uniform(0.002, 0.03),
        pace=rng.uniform(3.2, 4.6),
        tilt=rng.uniform(-2, 3),
        fall=rng.uniform(0.0, 0.3),
    )
    return appearance, speaker


def _make_rng(seed: int, use: str) -> np.random.Generator:
    """Return a random generator. The same arguments give the same random numbers.

    use: what the random numbers are for, such as the name of a clip; each use has its own sequence.
    """
    digest = hashlib.sha256(f"{seed}:{use}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
