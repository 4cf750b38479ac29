import pickle
import subprocess
import wave

import av
import numpy as np
import pytest

from pipeline.media import ffmpeg
from pipeline.media.files import Media
from pipeline.media.wav import WavStep, read_wav, write_wav
from testing.recordings import AUDIO, REAL_CLIPS, clip_row, record, sine

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
    (outcome,) = WavStep(AUDIO, seconds)([clip_row(start, end)], [Media(str(path), None)])
    return outcome


def samples_of(outcome):
    assert outcome.status == "ok", outcome.detail
    samples, rate = read_wav(outcome.value)
    assert rate == 16000 and len(samples) / rate == outcome.extra["seconds"]
    return samples


def pitch(samples, rate=16000):
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples)


def steps():
    """Return sound whose pitch depends on the time: 500 Hz, 40 Hz more after each tenth of a second."""
    tenths = [np.full(4410, 500 + 40 * i) for i in range(20)]
    phase = 2 * np.pi * np.cumsum(np.concatenate(tenths)) / 44100
    return (0.5 * np.sin(phase)).astype(np.float32)


def tenth(samples, i):
    """Return which tenth of a second the sound at i tenths after the beginning is, by its pitch."""
    return (pitch(samples[i * 1600 + 240 : (i + 1) * 1600 - 240]) - 500) / 40


@pytest.mark.parametrize("suffix", SOUNDS)
def test_pitch_and_length(tmp_path, suffix):
    samples = samples_of(take(film(tmp_path / f"a.{suffix}", sine(2.0))))
    assert len(samples) == pytest.approx(32000, abs=1600)  # codecs add up to a tenth of a second
    assert pitch(samples[:30000]) == pytest.approx(440, abs=1)
    assert np.sqrt(2 * np.mean((samples[4000:28000] / 32768.0) ** 2)) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("suffix", SOUNDS)
def test_a_cut_is_where_it_should_be(tmp_path, suffix):
    samples = samples_of(take(film(tmp_path / f"a.{suffix}", steps()), start=0.7, end=1.8))
    assert len(samples) == 17600
    for i in range(10):
        assert tenth(samples, i) == pytest.approx(7 + i, abs=0.45), i


@pytest.mark.parametrize("suffix", ["flv", "mp4", "mkv", "ts", "mpg"])
def test_sound_that_begins_late_stays_with_the_picture(tmp_path, suffix):
    path = film(tmp_path / f"a.{suffix}", sine(1.5), sound_at=0.5)
    samples = samples_of(take(path))
    loud = np.flatnonzero(np.abs(samples) > 3000)[0] / 16000
    assert loud == pytest.approx(0.5, abs=0.06)
    later = samples_of(take(path, start=0.25))
    assert np.flatnonzero(np.abs(later) > 3000)[0] / 16000 == pytest.approx(0.25, abs=0.06)


def test_silence_before_late_sound_is_not_sound(tmp_path):
    path = film(tmp_path / "a.mkv", sine(0.8), sound_at=1.5)
    assert take(path).extra["seconds"] == pytest.approx(2.3, abs=0.05)
    outcome = take(path, end=1.25)
    assert (outcome.status, outcome.value) == ("too_short", None)
    assert outcome.detail == "a.mkv: no sound from 0 s on"


def test_a_cut_far_from_any_keyframe(tmp_path):
    """ffmpeg seeks to keyframes of the picture, which may be long before the clip."""
    path = record(
        tmp_path / "a.mp4",
        40,
        "libx264",
        rate=2,
        options={"x264-params": "keyint=99:scenecut=0"},
        sound=sine(20.0),
        sound_codec="aac",
    )
    assert len(samples_of(take(path, 15.0, 17.0))) == 32000


def test_no_more_than_clip_seconds(tmp_path):
    assert len(samples_of(take(film(tmp_path / "a.flv", sine(2.0)), seconds=1.25))) == 20000


def test_too_short(tmp_path):
    """Only if there is no sound at all: the step does not know how much a model needs."""
    path = film(tmp_path / "a.flv", sine(2.0))
    for start, end in [(0.0, 0.05), (1.9, None)]:
        assert 0 < len(samples_of(take(path, start, end))) < 3200
    outcome = take(path, 90.0)
    assert (outcome.status, outcome.value) == ("too_short", None)
    assert outcome.detail == "a.flv: no sound from 90 s on"


def test_without_sound(tmp_path):
    assert take(record(tmp_path / "a.flv", 10)).status == "no_audio"
    (outcome,) = WavStep(AUDIO, 4.0)([clip_row()], [Media(None, str(tmp_path / "a.flv"))])
    assert outcome.status == "no_audio"


def test_truncated_sound_is_used_up_to_its_end(tmp_path):
    whole = film(tmp_path / "a.flv", sine(3.0))
    (tmp_path / "b.flv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 5])
    outcome = take(tmp_path / "b.flv")
    assert 1.0 < outcome.extra["seconds"] < 2.6 and pitch(samples_of(outcome)[:16000]) == pytest.approx(
        440, abs=1
    )


@pytest.mark.parametrize(
    "name", ["with space.flv", "-i.flv", 'it\'s "q".flv', "звук 音 🎺.flv", "a%03d.flv", "http:x?y#z.flv"]
)
def test_any_file_name(tmp_path, name):
    path = record(tmp_path / "plain.flv", 10, sound=sine(1.5)).rename(tmp_path / name)
    assert pitch(samples_of(take(path))[:16000]) == pytest.approx(440, abs=1)


def test_a_bad_file_does_not_affect_other_clips(tmp_path):
    good = record(tmp_path / "a.flv", 10, sound=sine(1.5))
    (tmp_path / "noise.flv").write_bytes(bytes(np.random.default_rng(0).integers(0, 255, 5000, np.uint8)))
    (tmp_path / "empty.flv").touch()
    names = ["a.flv", "noise.flv", "a.flv", "empty.flv", "gone.flv", ".", "a.flv"]
    step = pickle.loads(pickle.dumps(WavStep(AUDIO, 4.0)))
    outcomes = list(step([clip_row()] * 7, [Media(str(tmp_path / name), None) for name in names]))
    expected = ["ok", "corrupt", "ok", "corrupt", "unreadable", "unreadable", "ok"]
    assert [o.status for o in outcomes] == expected
    assert outcomes[0].value == outcomes[2].value == take(good).value
    assert not any(str(tmp_path) in o.detail for o in outcomes)


def test_damage_in_the_middle_loses_only_damaged_sound(tmp_path):
    content = bytearray(record(tmp_path / "a.mp3", 0, sound=sine(3.0)).read_bytes())
    content[9000:10000] = np.random.default_rng(0).integers(0, 255, 1000, np.uint8).tobytes()
    (tmp_path / "a.mp3").write_bytes(content)
    samples = samples_of(take(tmp_path / "a.mp3"))
    assert 2.5 < len(samples) / 16000 < 3.2
    assert pitch(samples[:12000]) == pytest.approx(440, abs=1)
    assert pitch(samples[-12000:]) == pytest.approx(440, abs=1)


def test_no_packet_can_be_decoded(tmp_path):
    """The content of every packet is noise."""
    path = record(tmp_path / "a.mkv", 0, sound=sine(1.0), sound_codec="aac")
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(audio=0) if p.size]
    for packet in packets:
        start = content.find(packet)
        content[start : start + len(packet)] = rng.integers(0, 255, len(packet), np.uint8).tobytes()
    path.write_bytes(content)
    outcome = take(path)
    assert (outcome.status, outcome.detail) == ("corrupt", "a.mkv: Invalid data found when processing input")


@pytest.mark.parametrize("suffix, rate", [("mp3", 22050), ("aac", 32000)])
def test_a_change_of_format_in_the_middle(tmp_path, suffix, rate):
    """Broadcasts change their format between programmes: all sound is decoded at the right pitch."""
    one = record(tmp_path / f"one.{suffix}", 0, sound=sine(2.0), **sound_of(suffix))
    other = tmp_path / f"other.{suffix}"
    command = [ffmpeg.binary(), "-v", "error", "-i", one, "-ar", str(rate), "-ac", "2", other]
    subprocess.run(command, check=True, timeout=60)
    both = tmp_path / f"both.{suffix}"
    both.write_bytes(other.read_bytes() + one.read_bytes())
    samples = samples_of(take(both))
    for part in (samples[1600:16000], samples[-12000:]):
        assert pitch(part) == pytest.approx(440, abs=1.5)
        assert np.abs(part).max() > 10000


def sound_of(suffix):
    return {"sound_codec": "aac", "format": "adts"} if suffix == "aac" else {}


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_channels_without_a_layout(tmp_path, channels):
    samples = (16000 * sine(1.0)).astype("<i2")
    with wave.open(str(tmp_path / "a.wav"), "wb") as w:
        w.setnchannels(channels)
        w.setsampwidth(2)
        w.setframerate(44100)
        w.writeframes(np.repeat(samples[:, None], channels, axis=1).tobytes())
    assert pitch(samples_of(take(tmp_path / "a.wav"))) == pytest.approx(440, abs=1)


def test_wav_files_are_read_back():
    samples = np.array([0, 1, -32768, 32767], np.int16)
    samples_read, rate = read_wav(write_wav(samples, 8000))
    assert rate == 8000 and (samples_read == samples).all()
    for bad in (b"", b"RIFF", write_wav(samples, 8000)[:30]):
        with pytest.raises(ValueError):
            read_wav(bad)


@pytest.mark.skipif(not REAL_CLIPS.exists(), reason="no real clips beside the checkout")
def test_real_clips():
    paths = sorted(p for p in REAL_CLIPS.iterdir() if p.suffix not in (".md", ".csv"))
    outcomes = list(WavStep(AUDIO, 4.0)([clip_row()] * len(paths), [Media(str(p), None) for p in paths]))
    silent = {"av1_video.mkv", "bt709_full_range.mp4", "h264_10bits.mp4", "h265_video.mp4"}
    for path, outcome in zip(paths, outcomes, strict=True):
        assert outcome.status == ("no_audio" if path.name in silent else "ok"), path.name
        if path.suffix == ".mpg":
            assert outcome.extra["seconds"] == pytest.approx(2.98, abs=0.05)
    talk = REAL_CLIPS / "test_video.mp4"
    for outcome in WavStep(AUDIO, 4.0)(
        [clip_row(10.0, 20.0), clip_row(60.0, 70.0)], [Media(str(talk), None)] * 2
    ):
        assert outcome.extra["seconds"] == 4.0


def test_an_unknown_codec_is_refused(tmp_path):
    path = record(tmp_path / "a.mkv", 10, codec="libx264", sound=sine(1.0))
    path.write_bytes(path.read_bytes().replace(b"A_MPEG/L3", b"A_MPEG/L9"))
    outcome = take(path)
    assert outcome.status == "refused" and outcome.detail == "a.mkv: no decoder for its sound"
