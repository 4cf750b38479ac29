"""Test the source people: the same bytes for a name, detectable faces, mouths that move with the sound."""

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


def data_params(**changes):
    return DATA.model_copy(update={"people": DATA.people.model_copy(update=changes)})


def render(name):
    """Return frames (n, H, W, 3), sound (time,) and kind of stream -> codec of a clip."""
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
    rows = people.clips(DATA).table.to_pylist()
    assert len(rows) == 480 and len({row["clip_id"] for row in rows}) == 480
    for row in rows:
        actor, _, emotion, level = NAME.fullmatch(row["clip_id"]).groups()
        assert row["subject"] == actor and row["labels"] == [people.EMOTIONS[emotion]] == [row["emotion"]]
        assert (level == "XX") == (emotion == "NEU")
    pairs = {(row["subject"], row["emotion"]) for row in rows}
    assert len({subject for subject, _ in pairs}) == 16 >= 12 and len(pairs) == 16 * 6


def test_any_number_of_clips_is_balanced_and_more_clips_only_add():
    few, more = (people.clips(data_params(clips=n)).table.to_pylist() for n in (100, 400))
    assert more[:100] == few
    counts = np.unique([row["labels"][0] for row in more], return_counts=True)[1]
    assert np.ptp(counts) <= 16


def test_more_clips_than_sentences_are_an_error():
    assert len(people.clips(data_params(people=2, clips=144)).table) == 144
    with pytest.raises(UserError, match=r"data.people.clips: 2 people .* 144 clips"):
        people.clips(data_params(people=2, clips=145))


def test_bytes_are_the_same_in_another_process():
    name = "1003_IOM_HAP_HI"
    code = (
        "import hashlib; from pipeline.sources import people;"
        f"print(hashlib.sha256(people.render('{name}', 0)).hexdigest())"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    content = people.render(name, 0)
    assert process.stdout.strip() == hashlib.sha256(content).hexdigest()
    assert content != people.render(name, 1) and content != people.render("1004_IOM_HAP_HI", 0)


def test_a_clip_is_flv1_and_mp3_of_about_two_seconds():
    frames, sound, kinds = render("1002_TIE_NEU_XX")
    assert kinds == {"video": "flv1", "audio": "mp3float"} or kinds == {"video": "flv", "audio": "mp3float"}
    assert frames.shape[1:] == (288, 360, 3) and 1.0 < len(frames) / 20 < 3.5
    assert len(sound) / people.voice.RATE == pytest.approx(len(frames) / 20, abs=0.15)
    assert 0.05 < np.abs(sound).max() <= 1.1


def test_a_face_is_detected_in_almost_every_clip():
    # Every nineteenth clip covers all people and emotions. `python -m benchmarks.people` tests all 480.
    rows = people.clips(DATA).table.to_pylist()[::19]
    assert len({row["subject"] for row in rows}) == 16 and len({row["emotion"] for row in rows}) == 6
    cascade, face_count = cv2.CascadeClassifier(CASCADE), 0
    for row in rows:
        frames, _, _ = render(row["clip_id"])
        grey = cv2.cvtColor(frames[len(frames) // 2], cv2.COLOR_RGB2GRAY)
        face_count += len(cascade.detectMultiScale(grey, 1.1, 5, minSize=(36, 36))) > 0
    assert face_count >= 0.95 * len(rows)


def test_the_mouth_moves_with_the_sound():
    correlations = []
    for name in ("1001_TIE_NEU_XX", "1004_ITH_SAD_MD", "1006_MTI_ANG_HI"):
        frames, sound, _ = render(name)
        grey = cv2.cvtColor(frames[len(frames) // 2], cv2.COLOR_RGB2GRAY)
        x, y, s, _ = cv2.CascadeClassifier(CASCADE).detectMultiScale(grey, 1.1, 4)[0]
        mouth = frames[:, y + 2 * s // 3 : y + s + s // 10, x + s // 4 : x + 3 * s // 4].astype(float)
        dark = (mouth.mean(3) < 0.62 * np.median(mouth)).mean((1, 2))  # share of dark pixels: an open mouth
        step = people.voice.RATE // 20
        loud = np.sqrt((sound[: len(sound) // step * step].reshape(-1, step) ** 2).mean(1))
        n = min(len(dark), len(loud))
        correlations.append(np.corrcoef(dark[:n], loud[:n])[0, 1])
    assert np.mean(correlations) > 0.4


def pitch(wave: np.ndarray, rate: int) -> float:
    """Return the median pitch of loud windows, Hz: at the maximum of the autocorrelation."""
    windows = np.lib.stride_tricks.sliding_window_view(wave.astype(float), 2048)[::512]
    loud = np.sqrt((windows**2).mean(1))
    windows = windows[loud > 0.3 * loud.max()] * np.hanning(2048)
    autocorrelation = np.fft.irfft(np.abs(np.fft.rfft(windows, 4096)) ** 2)
    shortest, longest = rate // 600, rate // 70
    return float(np.median(rate / (shortest + autocorrelation[:, shortest:longest].argmax(1))))


def test_pitch_depends_on_the_emotion():
    time = np.arange(8000) / 8000
    assert pitch(np.sin(2 * np.pi * 200 * time) + np.sin(2 * np.pi * 400 * time), 8000) == pytest.approx(200)
    pitches = {}
    for emotion in ("FEA_HI", "NEU_XX", "SAD_HI"):
        emotion_pitches = []
        for sentence in ("IEO", "IWW", "TAI", "IWL"):
            _, voice = people.make_person(1002, 0)
            speech = people.voice.speak(voice, sentence, emotion[:3], 1.0, np.random.default_rng(1))
            emotion_pitches.append(pitch(speech.wave, people.voice.RATE))
        pitches[emotion] = np.mean(emotion_pitches)
    assert pitches["FEA_HI"] > 1.1 * pitches["NEU_XX"] > 1.1 * pitches["SAD_HI"]


def test_a_clip_of_another_source_is_an_error():
    with pytest.raises(UserError, match="not a clip of the synthetic people"):
        people.fetch({"clip_id": "../x"}, DATA)
