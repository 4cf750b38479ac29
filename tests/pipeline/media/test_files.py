import os
from types import SimpleNamespace

import av
import numpy as np
import pytest

from pipeline.media.files import Media, MediaError, begin, head, opened, packets, pictures, span
from pipeline.media.frames import FramesStep
from pipeline.media.wav import WavStep
from testing.recordings import AUDIO, clip, record, sine
from tests.pipeline.media.test_frames import step as frames_step


@pytest.fixture
def secret(tmp_path):
    """A good file that a hostile one points at."""
    return record(tmp_path / "secret.flv", 60, sound=sine(2.0))


def playlist(kind, target):
    name = target.name
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{name}\n#EXT-X-ENDLIST\n",
        "bom": f"\ufeff#EXTM3U\n#EXTINF:5,\n{target}\n",
        "concat": f"ffconcat version 1.0\nfile '{name}'\n",
        "dash": f'<?xml version="1.0"?>\n<MPD><Period><BaseURL>{name}</BaseURL></Period></MPD>\n',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        "pls": f"[playlist]\nFile1={target}\n",
    }[kind]


@pytest.mark.parametrize("suffix", [".flv", ".m3u8", ".mp4", ".mpd", ".txt"])
@pytest.mark.parametrize("kind", ["hls", "bom", "concat", "dash", "sdp", "pls"])
def test_playlists_are_refused(tmp_path, secret, kind, suffix, monkeypatch):
    path = tmp_path / f"list{suffix}"
    path.write_text(playlist(kind, secret), encoding="utf-8")
    read = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda p, *a, **k: read.append(str(p)) or real(p, *a, **k))
    before = secret.stat().st_atime_ns
    media = [Media(str(path), str(path))]
    for step in (WavStep(AUDIO, 4.0), frames_step()):
        (outcome,) = step([clip()], media)
        assert (outcome.status, outcome.value) == ("refused", None)
    assert secret.stat().st_atime_ns == before and str(secret) not in read


def test_formats_off_the_list_are_refused(tmp_path):
    """A format that ffmpeg knows well and that is not on our list: subtitles, and its own metadata."""
    path = tmp_path / "a.flv"
    path.write_text(";FFMETADATA1\ntitle=x\n")
    with pytest.raises(MediaError) as e, opened(str(path)):
        pass
    assert e.value.outcome.status == "refused"


def test_the_reason_does_not_depend_on_the_file_before(tmp_path):
    """ffmpeg says the same of both; what is said twice is said the second time too."""
    for name in ("a.flv", "b.flv"):
        path = tmp_path / name
        path.write_text(";FFMETADATA1\ntitle=x\n")
        with pytest.raises(MediaError) as e, opened(str(path)):
            pass
        assert e.value.outcome.status == "refused"


@pytest.mark.parametrize(
    "make, status",
    [
        (lambda p: p.touch(), "corrupt"),
        (lambda p: p.write_bytes(np.random.default_rng(0).bytes(9000)), "corrupt"),
        (lambda p: p.mkdir(), "unreadable"),
        (lambda p: None, "unreadable"),
        (lambda p: os.mkfifo(p), "unreadable"),
        (lambda p: p.symlink_to(p), "unreadable"),
    ],
)
def test_what_is_no_media_is_a_row(tmp_path, make, status):
    path = tmp_path / "a.flv"
    make(path)
    for step in (WavStep(AUDIO, 4.0), frames_step()):
        (outcome,) = step([clip()], [Media(str(path), str(path))])
        assert outcome.status == status and "a.flv" in outcome.detail and str(tmp_path) not in outcome.detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path):
    path = record(tmp_path / "a.flv", 5)
    path.chmod(0)
    with pytest.raises(MediaError) as e:
        head(str(path))
    assert e.value.outcome.status == "unreadable"


def test_a_name_with_a_null_byte():
    with pytest.raises(MediaError):
        head("a\0.flv")


@pytest.mark.parametrize(
    "name", ["with space.flv", "-i.flv", 'it\'s "q".flv', "звук 音 🎺.flv", "a%03d.flv", "http:x?y#z.flv"]
)
def test_any_file_name(tmp_path, name, monkeypatch):
    record(tmp_path / "plain.flv", 10).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (outcome,) = frames_step()([clip()], [Media(None, name)])
    assert outcome.status == "ok", outcome.detail


def test_logging_is_left_as_it_was(tmp_path):
    (tmp_path / "a.flv").write_bytes(b"nothing")
    level = av.logging.get_level()
    with pytest.raises(MediaError), opened(str(tmp_path / "a.flv")):
        pass
    assert av.logging.get_level() == level


def test_what_a_file_holds(tmp_path):
    with opened(str(record(tmp_path / "a.flv", 10, sound=sine(1.0)))) as container:
        assert len(pictures(container)) == 1 and begin(container) >= 0
    assert span(clip(), 4.0) == (0.0, 4.0)
    assert span(clip(1.0, 3.0), 4.0) == (1.0, 2.0) and span(clip(1.0, 9.0), 4.0) == (1.0, 4.0)
    assert isinstance(frames_step(), FramesStep)


def test_streams_that_come_on_the_way_end_no_run():
    """A broadcast gains a track: PyAV knows only those of the beginning, and fails at the end."""

    def demux(stream):
        yield from ("one", "two", "flush")
        raise IndexError("list index out of range")

    assert [*packets(SimpleNamespace(demux=demux), None)] == ["one", "two", "flush"]
