"""The two decoders give the same, refuse the same, and one may take the place of the other."""

import random
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from pipeline.config import read
from pipeline.errors import UserError
from pipeline.media import ffmpeg
from pipeline.media.decoders import Decoding, check_program, pyav_frames, pyav_sound
from pipeline.media.files import Media, MediaError
from pipeline.media.frames import FramesStep
from pipeline.media.wav import WavStep, read_wav
from pipeline.sources import ensemble
from pipeline.store.status import STATUSES
from testing import mutants
from testing.project import ROOT
from testing.recordings import AUDIO, REAL_CLIPS, clip_row, record, sine
from tests.pipeline.media.test_frames import still
from tests.security.attempts import LINUX, record_opened_files
from tests.security.test_files_that_name_others import files_that_name
from tests.security.test_too_much import BOMBS

VIDEO = SimpleNamespace(frames=3, height=48, width=64, fit="crop")
SQUEEZED = SimpleNamespace(frames=3, height=48, width=40, fit="squeeze")
PROGRAM = Decoding("ffmpeg")
LAST_SAMPLES = 8  # of a clip, which the ends of two versions of a resampler may differ in


def decode(path, decoding, start=None, end=None, video=VIDEO):
    """Return the outcomes of the steps `wav` and `frames`."""
    media, row = [Media(str(path), str(path))], [clip_row(start, end)]
    steps = WavStep(AUDIO, 2.0, decoding), FramesStep(video, 2.0, decoding)
    return [outcome for step in steps for outcome in step(row, media)]


def check_agreement(path, start=None, end=None, video=VIDEO):
    """Return the statuses of both steps after comparing the outcomes of both decoders.

    The samples of a clip that begins inside a file are not compared: the container may round where it begins
    (FLV: to 1 ms), and decoders that fill in noise (AAC) fill in another.
    """
    (wav, frames), (other_wav, other_frames) = (
        decode(path, d, start, end, video) for d in (Decoding(), PROGRAM)
    )
    assert (other_wav.status, other_frames.status) == (wav.status, frames.status), other_frames.detail
    if wav.value:
        samples, others = (read_wav(o.value)[0].astype(int) for o in (wav, other_wav))
        assert abs(len(samples) - len(others)) <= LAST_SAMPLES
        n = min(len(samples), len(others)) - LAST_SAMPLES
        assert start or np.abs(samples[:n] - others[:n]).max() <= 2
    if frames.status == "ok":
        assert np.abs(np.subtract(frames.value, other_frames.value, dtype=int)).max() <= 2
        for column in ("times", "seconds"):
            assert other_frames.extra[column] == pytest.approx(frames.extra[column], abs=1e-5)
    return wav.status, frames.status


@pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason="no real clips")
def test_they_agree_on_real_clips():
    paths = [path for path in sorted(REAL_CLIPS.iterdir()) if path.suffix not in (".csv", ".md")]
    statuses = {status for path in paths for status in check_agreement(path)}
    assert len(paths) > 10 and statuses == {"ok", "no_audio", "no_video"}


def test_they_agree_on_synthetic_clips(tmp_path):
    data = read(ROOT / "params.yaml").data
    for number in (0, 1, 2):
        path = tmp_path / f"{number}.flv"
        path.write_bytes(ensemble.render(number, data))
        assert check_agreement(path) == ("ok", "ok")
    assert check_agreement(path, 1.1, 2.3) == ("ok", "ok")


def test_they_agree_on_shapes_of_pictures(tmp_path):
    """Narrow pixels; a long strip, which is cropped; a part of a file without an index; a still picture."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    check_agreement(still(tmp_path / "a.mkv", picture, form="yuv420p", aspect=Fraction(2, 1)))
    strip = still(tmp_path / "b.mkv", np.tile(picture, (1, 12, 1)), form="yuv422p")
    check_agreement(strip)
    check_agreement(strip, video=SQUEEZED)
    path = record(tmp_path / "c.ts", 60, "libx264", options={"crf": "5"}, sound=sine(2.0), sound_codec="mp2")
    assert check_agreement(path, 0.7, 1.9) == ("ok", "ok")
    (tmp_path / "d.png").write_bytes(BOMBS["png"][:8])
    assert check_agreement(tmp_path / "d.png")[1] == "corrupt"


def test_a_rotated_picture_is_turned(tmp_path):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32] = 255
    upright = still(tmp_path / "a.mp4", picture, form="yuv420p")
    turned = tmp_path / "b.mp4"
    command = [ffmpeg.binary(), "-v", "error", "-display_rotation", "90", "-i", upright, "-c", "copy", turned]
    subprocess.run(command, check=True, timeout=60)
    check_agreement(turned)


def refuse(path, *_):
    raise MediaError("corrupt", f"{Path(path).name}: Invalid data")


def test_the_other_decoder_gets_what_one_cannot_decode(tmp_path, monkeypatch):
    path = record(tmp_path / "a.flv", 30, sound=sine(1.0))
    expected = decode(path, Decoding())
    monkeypatch.setattr(pyav_sound, "decode_sound", refuse)
    monkeypatch.setattr(pyav_frames, "extract_frames", refuse)
    assert [o.status for o in decode(path, Decoding())] == ["corrupt", "corrupt"]
    wav, frames = decode(path, Decoding(retry=True))
    assert wav.extra == expected[0].extra and np.array_equal(frames.value, expected[1].value)
    path.write_bytes(path.read_bytes()[:20])
    for outcome in decode(path, Decoding(retry=True)):  # neither can: the first one's reason
        assert (outcome.status, outcome.detail) == ("corrupt", "a.flv: Invalid data")


# --- guards -----------------------------------------------------------------------------------------------


@LINUX
def test_the_program_opens_no_other_file(tmp_path):
    (tmp_path / "secret").mkdir()
    secret = record(tmp_path / "secret/secret.flv", 30, sound=sine(2.0))
    contents = files_that_name(secret)
    for name in ("hls behind blanks", "concat without its first line", "dash", "webvtt", "cue"):
        path = tmp_path / "hostile.mp4"
        path.write_bytes(contents[name])
        with record_opened_files(tmp_path / "secret") as opened_files:
            outcomes = decode(path, PROGRAM)
        assert not opened_files, name
        assert {o.status for o in outcomes} <= {"refused", "corrupt", "no_audio", "no_video"}, name


def test_the_program_refuses_a_huge_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(BOMBS["png of 16,000"])
    outcome = decode(tmp_path / "a.png", PROGRAM)[1]
    assert outcome.status == "refused" and "16000 x 16000 pixels are too many" in outcome.detail


def test_broken_files_are_rows_with_the_same_reason_each_time(tmp_path):
    kinds = [k for k in mutants.KINDS if k.name in ("flv", "mp4-h264", "mpegts", "webm", "avi")]
    rng = random.Random(3)
    contents = [*mutants.encode_files(tuple(kinds)).values()]
    for number, mutate in enumerate(mutants.MUTATIONS.values()):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(mutate(contents[number % len(contents)], rng, contents[-1]))
        start = time.monotonic()
        first = decode(path, PROGRAM)
        assert time.monotonic() - start < 20
        assert all(o.status in STATUSES and (o.status == "ok" or o.detail) for o in first)
        if number % 4 == 0:
            again = decode(path, PROGRAM)
            assert [(o.status, o.detail) for o in first] == [(o.status, o.detail) for o in again]
            assert first[0].value == again[0].value and np.array_equal(first[1].value, again[1].value)


def script(path: Path, text: str) -> str:
    """Write a program that stands in for ffmpeg."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "text, status, detail",
    [
        ("kill -SEGV $$", "crashed", "the ffmpeg program crashed (SIGSEGV)"),
        ("echo received signal 24. >&2; exit 255", "timeout", "of processor time"),
        ("exec cat /dev/zero", "corrupt", "decodes to far too much"),
        ("exec head -c 9000000 /dev/zero >&2", "corrupt", "nothing can be decoded"),
    ],
)
def test_a_program_that_fails(tmp_path, monkeypatch, text, status, detail):
    path = record(tmp_path / "a.flv", 3, sound=sine(0.2))
    stand_in = script(tmp_path / "ffmpeg", text)
    monkeypatch.setattr(ffmpeg, "binary", lambda: stand_in)
    for outcome in decode(path, PROGRAM):
        assert outcome.status == status and outcome.detail.startswith("a.flv: ") and detail in outcome.detail


@LINUX
def test_the_program_ends_with_its_worker(tmp_path):
    """Also if the worker is killed, and the program writes nothing."""
    path = record(tmp_path / "a.flv", 3, sound=sine(0.2))
    note = f"echo $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid"
    stand_in = script(tmp_path / "ffmpeg", f"{note}; exec sleep 99")
    code = (
        "import sys; from pipeline.media import ffmpeg; ffmpeg.binary = lambda: sys.argv[1]\n"
        "from pipeline.media.decoders import program_sound\n"
        "program_sound.decode_sound(sys.argv[2], 0.0, 1.0, 16000)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, stand_in, str(path)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pid").exists():
            assert time.monotonic() < deadline and worker.poll() is None
            time.sleep(0.02)
    finally:
        worker.kill()
        worker.wait()
    child = int((tmp_path / "pid").read_text())
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_missing_program_is_one_line(monkeypatch):
    monkeypatch.setenv("EARSIGHT_FFMPEG", "/nowhere/ffmpeg")
    ffmpeg.binary.cache_clear()
    try:
        check_program(Decoding())
        for decoding in (PROGRAM, Decoding(retry=True)):
            with pytest.raises(UserError, match="EARSIGHT_FFMPEG: /nowhere/ffmpeg is not an"):
                check_program(decoding)
    finally:
        ffmpeg.binary.cache_clear()


def test_a_wrapper_may_add_options(tmp_path, monkeypatch):
    """So a decoder of the graphics hardware is chosen, without which the program falls back."""
    path = record(tmp_path / "a.flv", 10, sound=sine(0.5))
    wrapper = script(tmp_path / "ffmpeg", f'exec {ffmpeg.binary()} -hwaccel auto "$@"')
    assert ffmpeg.version(wrapper)
    monkeypatch.setattr(ffmpeg, "binary", lambda: wrapper)
    assert check_agreement(path) == ("ok", "ok")


def test_nobody_waits_for_libraries_that_few_need():
    """Neither librosa nor ffmpeg-python is imported by the default stages, nor for the default feature."""
    code = (
        "import sys, numpy as np\n"
        "import stages.wav, stages.spectrogram, stages.frames\n"
        "from pipeline.media.spectrogram import SpectrogramStep\n"
        "from testing.recordings import AUDIO\n"
        "SpectrogramStep(AUDIO, 1.0).compute_feature(np.zeros(9000, np.float32))\n"
        "print({'librosa', 'numba', 'ffmpeg', 'torch'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout == "set()\n", run.stderr
