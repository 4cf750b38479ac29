"""The embedded people: the same bytes for a name, faces that are found, mouths that go with the sound."""

import hashlib
import io
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest

from pipeline.config import ROOT, read
from pipeline.errors import UserError
from pipeline.sources import people
from pipeline.sources.crema_d import NAME
from testing import defaults

DATA = read(defaults.PARAMS).data
CASCADE = f"{cv2.data.haarcascades}haarcascade_frontalface_default.xml"


def asked(**changes):
    return DATA.model_copy(update={"people": DATA.people.model_copy(update=changes)})


def played(name):
    """Frames (n, H, W, 3) and sound (time,) of a rendered clip."""
    with av.open(io.BytesIO(people.render(name, 0))) as file:
        kinds = {s.type: s.codec_context.name for s in file.streams}
        frames, waves = [], []
        for frame in file.decode():
            if isinstance(frame, av.VideoFrame):
                frames.append(frame.to_ndarray(format="rgb24"))
            else:
                waves.append(frame.to_ndarray()[0])
    return np.stack(frames), np.concatenate(waves), kinds


def test_names_are_those_of_crema_d_and_every_person_has_every_emotion():
    rows = people.clips(DATA).to_pylist()
    assert len(rows) == 480 and len({row["clip_id"] for row in rows}) == 480
    for row in rows:
        actor, _, emotion, level = NAME.fullmatch(row["clip_id"]).groups()
        assert row["subject"] == actor and row["labels"] == [people.EMOTIONS[emotion]] == [row["emotion"]]
        assert (level == "XX") == (emotion == "NEU")
    seen = {(row["subject"], row["emotion"]) for row in rows}
    assert len({who for who, _ in seen}) == 16 >= 12 and len(seen) == 16 * 6


def test_any_number_of_clips_is_balanced_and_more_change_none():
    few, many = (people.clips(asked(clips=n)).to_pylist() for n in (100, 400))
    assert many[:100] == few
    counts = np.unique([row["labels"][0] for row in many], return_counts=True)[1]
    assert np.ptp(counts) <= 16


def test_more_clips_than_there_is_to_say_are_an_error():
    assert len(people.clips(asked(people=2, clips=144))) == 144
    with pytest.raises(UserError, match=r"data.people.clips: 2 people .* 144 clips"):
        people.clips(asked(people=2, clips=145))


def test_bytes_are_the_same_in_another_process():
    name = "1003_IOM_HAP_HI"
    code = (
        "import hashlib; from pipeline.sources import people;"
        f"print(hashlib.sha256(people.render('{name}', 0)).hexdigest())"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    own = people.render(name, 0)
    assert said.stdout.strip() == hashlib.sha256(own).hexdigest()
    assert own != people.render(name, 1) and own != people.render("1004_IOM_HAP_HI", 0)


def test_a_clip_is_flv1_and_mp3_of_two_seconds_or_so():
    frames, sound, kinds = played("1002_TIE_NEU_XX")
    assert kinds == {"video": "flv1", "audio": "mp3float"} or kinds == {"video": "flv", "audio": "mp3float"}
    assert frames.shape[1:] == (288, 360, 3) and 1.0 < len(frames) / 20 < 3.5
    assert len(sound) / people.voice.RATE == pytest.approx(len(frames) / 20, abs=0.15)
    assert 0.05 < np.abs(sound).max() <= 1.1


def test_a_face_is_found_in_nearly_every_clip():
    # All 480: `python -m benchmarks.people`. Here every nineteenth, which comes to each person and emotion.
    rows = people.clips(DATA).to_pylist()[::19]
    assert len({row["subject"] for row in rows}) == 16 and len({row["emotion"] for row in rows}) == 6
    cascade, found = cv2.CascadeClassifier(CASCADE), 0
    for row in rows:
        frames, _, _ = played(row["clip_id"])
        grey = cv2.cvtColor(frames[len(frames) // 2], cv2.COLOR_RGB2GRAY)
        found += len(cascade.detectMultiScale(grey, 1.1, 5, minSize=(36, 36))) > 0
    assert found >= 0.95 * len(rows)


def test_the_mouth_moves_with_the_sound():
    together = []
    for name in ("1001_TIE_NEU_XX", "1004_ITH_SAD_MD", "1006_MTI_ANG_HI"):
        frames, sound, _ = played(name)
        grey = cv2.cvtColor(frames[len(frames) // 2], cv2.COLOR_RGB2GRAY)
        x, y, s, _ = cv2.CascadeClassifier(CASCADE).detectMultiScale(grey, 1.1, 4)[0]
        mouth = frames[:, y + 2 * s // 3 : y + s + s // 10, x + s // 4 : x + 3 * s // 4].astype(float)
        dark = (mouth.mean(3) < 0.62 * np.median(mouth)).mean((1, 2))  # how much of it is an open mouth
        step = people.voice.RATE // 20
        loud = np.sqrt((sound[: len(sound) // step * step].reshape(-1, step) ** 2).mean(1))
        n = min(len(dark), len(loud))
        together.append(np.corrcoef(dark[:n], loud[:n])[0, 1])
    assert np.mean(together) > 0.4


def pitch(wave: np.ndarray, rate: int) -> float:
    """The median over what is loud, in Hz: where the autocorrelation is greatest."""
    windows = np.lib.stride_tricks.sliding_window_view(wave.astype(float), 2048)[::512]
    loud = np.sqrt((windows**2).mean(1))
    windows = windows[loud > 0.3 * loud.max()] * np.hanning(2048)
    same = np.fft.irfft(np.abs(np.fft.rfft(windows, 4096)) ** 2)
    shortest, longest = rate // 600, rate // 70
    return float(np.median(rate / (shortest + same[:, shortest:longest].argmax(1))))


def test_pitch_goes_with_the_emotion():
    time = np.arange(8000) / 8000
    assert pitch(np.sin(2 * np.pi * 200 * time) + np.sin(2 * np.pi * 400 * time), 8000) == pytest.approx(200)
    found = {}
    for emotion in ("FEA_HI", "NEU_XX", "SAD_HI"):
        heights = []
        for sentence in ("IEO", "IWW", "TAI", "IWL"):
            look, own = people.person(1002, 0)
            speech = people.voice.speak(own, sentence, emotion[:3], 1.0, np.random.default_rng(1))
            heights.append(pitch(speech.wave, people.voice.RATE))
        found[emotion] = np.mean(heights)
    assert found["FEA_HI"] > 1.1 * found["NEU_XX"] > 1.1 * found["SAD_HI"]


def test_a_strange_clip_is_refused():
    with pytest.raises(UserError, match="not a clip of the embedded people"):
        people.fetch({"clip_id": "../x"}, DATA)
