import pickle
import subprocess

import numpy as np
import pytest

from pipeline import ffmpeg, wav
from pipeline.media import Media
from pipeline.wav import WavStep, read_wav, write_wav
from tests.pipeline.recordings import AUDIO, REAL, clip, record, sine

SOUNDS = {
    "flv": "libmp3lame",
    "mp4": "aac",
    "mkv": "flac",
    "mpg": "mp2",
    "ts": "mp2",
    "avi": "pcm_s16le",
    "webm": "libopus",
}
PICTURES = {
    "webm": "libvpx",
    "mp4": "mpeg4",
    "mkv": "mpeg4",
    "avi": "mpeg4",
    "ts": "mpeg2video",
    "mpg": "mpeg1video",
}


def film(path, sound, **more):
    codec = SOUNDS[path.suffix[1:]]
    if codec == "libopus":  # knows 48,000 samples per second only
        source = record(path.with_suffix(".mkv"), 60, codec="mpeg4", sound=sound, sound_codec="flac", **more)
        command = [
            ffmpeg.binary(),
            "-v",
            "error",
            "-y",
            "-i",
            source,
            "-c:v",
            "libvpx",
            "-c:a",
            "libopus",
            path,
        ]
        subprocess.run(command, check=True, timeout=60)
        return path
    return record(
        path, 60, codec=PICTURES.get(path.suffix[1:], "flv1"), sound=sound, sound_codec=codec, **more
    )


def take(path, start=None, end=None, seconds=4.0):
    (outcome,) = WavStep(AUDIO, seconds)([clip(start, end)], [Media(str(path), None)])
    return outcome


def heard(outcome):
    assert outcome.status == "ok", outcome.detail
    samples, rate = read_wav(outcome.value)
    assert rate == 16000 and len(samples) / rate == outcome.extra["seconds"]
    return samples


def pitch(samples, rate=16000):
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples)


def steps():
    """Sound whose pitch tells the time: 500 Hz in the first tenth of a second, 40 Hz more in each next."""
    tenths = [np.full(4410, 500 + 40 * i) for i in range(20)]
    phase = 2 * np.pi * np.cumsum(np.concatenate(tenths)) / 44100
    return (0.5 * np.sin(phase)).astype(np.float32)


def tenth(samples, i):
    """The number of the tenth of a second that stands i tenths after the beginning, by its pitch."""
    return (pitch(samples[i * 1600 + 240 : (i + 1) * 1600 - 240]) - 500) / 40


@pytest.mark.parametrize("suffix", SOUNDS)
def test_pitch_and_length(tmp_path, suffix):
    samples = heard(take(film(tmp_path / f"a.{suffix}", sine(2.0))))
    assert len(samples) == pytest.approx(32000, abs=1600)  # codecs add up to a tenth of a second
    assert pitch(samples[:30000]) == pytest.approx(440, abs=1)
    assert np.sqrt(2 * np.mean((samples[4000:28000] / 32768.0) ** 2)) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("suffix", SOUNDS)
def test_a_cut_is_where_it_should_be(tmp_path, suffix):
    samples = heard(take(film(tmp_path / f"a.{suffix}", steps()), start=0.7, end=1.8))
    assert len(samples) == 17600
    for i in range(10):
        assert tenth(samples, i) == pytest.approx(7 + i, abs=0.45), i


@pytest.mark.parametrize("suffix", ["flv", "mp4", "mkv", "ts", "mpg"])
def test_sound_that_begins_late_stays_with_the_picture(tmp_path, suffix):
    path = film(tmp_path / f"a.{suffix}", sine(1.5), sound_at=0.5)
    samples = heard(take(path))
    loud = np.flatnonzero(np.abs(samples) > 3000)[0] / 16000
    assert loud == pytest.approx(0.5, abs=0.06)
    later = heard(take(path, start=0.25))
    assert np.flatnonzero(np.abs(later) > 3000)[0] / 16000 == pytest.approx(0.25, abs=0.06)


def test_silence_before_late_sound_is_not_sound(tmp_path):
    path = film(tmp_path / "a.mkv", sine(0.8), sound_at=1.5)
    assert take(path).extra["seconds"] == pytest.approx(2.3, abs=0.05)
    outcome = take(path, end=1.25)
    assert (outcome.status, outcome.value) == ("too_short", None)
    assert outcome.detail == "no sound from 0 s on"


def test_a_cut_far_from_any_keyframe(tmp_path):
    """ffmpeg seeks by the picture's keyframes, which may lie long before the clip."""
    path = record(
        tmp_path / "a.mp4",
        40,
        "libx264",
        rate=2,
        options={"x264-params": "keyint=99:scenecut=0"},
        sound=sine(20.0),
        sound_codec="aac",
    )
    assert len(heard(take(path, 15.0, 17.0))) == 32000


def test_no_more_than_clip_seconds(tmp_path):
    assert len(heard(take(film(tmp_path / "a.flv", sine(2.0)), seconds=1.25))) == 20000


def test_too_short(tmp_path):
    """Only where there is no sound at all: how much a model needs is no matter of decoding."""
    path = film(tmp_path / "a.flv", sine(2.0))
    for start, end in [(0.0, 0.05), (1.9, None)]:
        assert 0 < len(heard(take(path, start, end))) < 3200
    outcome = take(path, 90.0)
    assert (outcome.status, outcome.value) == ("too_short", None)
    assert outcome.detail == "no sound from 90 s on"


def test_without_sound(tmp_path):
    assert take(record(tmp_path / "a.flv", 10)).status == "no_audio"
    (outcome,) = WavStep(AUDIO, 4.0)([clip()], [Media(None, str(tmp_path / "a.flv"))])
    assert outcome.status == "no_audio"


def test_truncated_sound_is_used_as_far_as_it_goes(tmp_path):
    whole = film(tmp_path / "a.flv", sine(3.0))
    (tmp_path / "b.flv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 5])
    outcome = take(tmp_path / "b.flv")
    assert 1.0 < outcome.extra["seconds"] < 2.6 and pitch(heard(outcome)[:16000]) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(
    "name", ["with space.flv", "-i.flv", 'it\'s "q".flv', "звук 音 🎺.flv", "a%03d.flv", "http:x?y#z.flv"]
)
def test_any_file_name(tmp_path, name):
    path = record(tmp_path / "plain.flv", 10, sound=sine(1.5)).rename(tmp_path / name)
    assert pitch(heard(take(path))[:16000]) == pytest.approx(440, abs=1)


def test_a_bad_file_costs_its_neighbours_nothing(tmp_path, monkeypatch):
    """Bad ones are kept out before; one that only ffmpeg stumbles over makes its batch be done one by one."""
    good = record(tmp_path / "a.flv", 10, sound=sine(1.5))
    (tmp_path / "noise.flv").write_bytes(bytes(np.random.default_rng(0).integers(0, 255, 5000, np.uint8)))
    (tmp_path / "empty.flv").touch()
    paths = [
        good,
        tmp_path / "noise.flv",
        good,
        tmp_path / "empty.flv",
        tmp_path / "gone.flv",
        tmp_path,
        good,
    ]
    step = pickle.loads(pickle.dumps(WavStep(AUDIO, 4.0)))
    runs = []
    run = ffmpeg.run
    monkeypatch.setattr(ffmpeg, "run", lambda *a: runs.append(1) or run(*a))
    outcomes = list(step([clip()] * 7, [Media(str(p), None) for p in paths]))
    expected = ["ok", "corrupt", "ok", "corrupt", "unavailable", "unavailable", "ok"]
    assert [o.status for o in outcomes] == expected and len(runs) == 1
    assert not any(str(tmp_path) in o.detail for o in outcomes)

    jobs = [step._plan(clip(), Media(str(good), None)) for _ in range(3)]
    broken = wav._Job(str(tmp_path / "noise.flv"), 0.0, 0.0, 4.0, 0.0)
    outcomes = list(step._decode([*jobs, broken]))
    assert [o.status for o in outcomes] == ["ok", "ok", "ok", "corrupt"] and len(runs) == 1 + 1 + 4
    assert outcomes[0].value == outcomes[2].value
    assert str(tmp_path) not in outcomes[3].detail


def test_many_clips_to_one_process(tmp_path, monkeypatch):
    path = record(tmp_path / "a.flv", 10, sound=sine(1.5))
    runs = []
    run = ffmpeg.run
    monkeypatch.setattr(ffmpeg, "run", lambda *a: runs.append(1) or run(*a))
    n = wav.BATCH + 3
    outcomes = list(WavStep(AUDIO, 4.0)([clip()] * n, [Media(str(path), None)] * n))
    assert [o.status for o in outcomes] == ["ok"] * n and len(runs) == 2


def test_a_hanging_ffmpeg_is_killed(tmp_path, monkeypatch):
    path = record(tmp_path / "a.flv", 10, sound=sine(1.5))
    hanging = tmp_path / "ffmpeg"
    hanging.write_text("#!/bin/sh\nsleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(ffmpeg, "binary", lambda: str(hanging))
    monkeypatch.setattr(wav, "TIMEOUT", 0.2)
    monkeypatch.setattr(wav, "TIMEOUT_CLIP", 0.1)
    assert take(path).status == "timeout"


def test_a_crash_of_ffmpeg_is_its_clip_s_alone(tmp_path, monkeypatch):
    good = record(tmp_path / "a.flv", 10, sound=sine(1.5))
    bad = record(tmp_path / "bad.flv", 10, sound=sine(1.5))
    crashing = tmp_path / "ffmpeg"
    crashing.write_text(
        f'#!/bin/sh\ncase "$*" in *bad.flv*) kill -SEGV $$ ;; *) exec {ffmpeg.binary()} "$@" ;; esac\n'
    )
    crashing.chmod(0o755)
    monkeypatch.setattr(ffmpeg, "binary", lambda: str(crashing))
    outcomes = list(WavStep(AUDIO, 4.0)([clip()] * 3, [Media(str(p), None) for p in (good, bad, good)]))
    assert [o.status for o in outcomes] == ["ok", "crashed", "ok"]
    assert outcomes[1].detail == "bad.flv: ffmpeg was killed by SIGSEGV"


def test_a_full_disk_is_no_fault_of_the_clip(tmp_path, monkeypatch):
    path = record(tmp_path / "a.flv", 10, sound=sine(1.5))
    monkeypatch.setattr(
        ffmpeg, "run", lambda *a: (1, "av_interleaved_write_frame(): No space left on device")
    )
    with pytest.raises(OSError, match="No space left"):
        take(path)


def test_wav_files_come_back():
    samples = np.array([0, 1, -32768, 32767], np.int16)
    again, rate = read_wav(write_wav(samples, 8000))
    assert rate == 8000 and (again == samples).all()
    for bad in (b"", b"RIFF", write_wav(samples, 8000)[:30]):
        with pytest.raises(ValueError):
            read_wav(bad)


@pytest.mark.skipif(not REAL.exists(), reason="no real clips beside the checkout")
def test_real_clips():
    paths = sorted(p for p in REAL.iterdir() if p.suffix not in (".md", ".csv"))
    outcomes = list(WavStep(AUDIO, 4.0)([clip()] * len(paths), [Media(str(p), None) for p in paths]))
    silent = {"av1_video.mkv", "bt709_full_range.mp4", "h264_10bits.mp4", "h265_video.mp4"}
    for path, outcome in zip(paths, outcomes, strict=True):
        assert outcome.status == ("no_audio" if path.name in silent else "ok"), path.name
        if path.suffix == ".mpg":
            assert outcome.extra["seconds"] == pytest.approx(2.98, abs=0.05)
    talk = REAL / "test_video.mp4"
    for outcome in WavStep(AUDIO, 4.0)([clip(10.0, 20.0), clip(60.0, 70.0)], [Media(str(talk), None)] * 2):
        assert outcome.extra["seconds"] == 4.0
