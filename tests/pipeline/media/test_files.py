import os
from types import SimpleNamespace

import av
import numpy as np
import pytest

from pipeline.media.files import (
    Media,
    MediaError,
    clip_span,
    open_media,
    read_head,
    start_time,
    stream_packets,
    video_streams,
)
from pipeline.media.frames import FramesStep
from pipeline.media.wav import WavStep
from testing.recordings import AUDIO, clip_row, record, sine
from tests.pipeline.media.test_frames import step as frames_step


@pytest.fixture
def secret(tmp_path):
    """Return a good file that a hostile one refers to."""
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
    read_paths = []
    system_open = os.open
    monkeypatch.setattr(os, "open", lambda p, *a, **k: read_paths.append(str(p)) or system_open(p, *a, **k))
    before = secret.stat().st_atime_ns
    media = [Media(str(path), str(path))]
    for step in (WavStep(AUDIO, 4.0), frames_step()):
        (outcome,) = step([clip_row()], media)
        assert (outcome.status, outcome.value) == ("refused", None)
    assert secret.stat().st_atime_ns == before and str(secret) not in read_paths


def test_formats_outside_the_whitelist_are_refused(tmp_path):
    """ffmpeg's own metadata format is not on the whitelist."""
    path = tmp_path / "a.flv"
    path.write_text(";FFMETADATA1\ntitle=x\n")
    with pytest.raises(MediaError) as e, open_media(str(path)):
        pass
    assert e.value.outcome.status == "refused"


def test_the_reason_does_not_depend_on_the_file_before(tmp_path):
    """ffmpeg logs the same message for both files; it must log it twice."""
    for name in ("a.flv", "b.flv"):
        path = tmp_path / name
        path.write_text(";FFMETADATA1\ntitle=x\n")
        with pytest.raises(MediaError) as e, open_media(str(path)):
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
def test_a_file_without_media_is_a_row(tmp_path, make, status):
    path = tmp_path / "a.flv"
    make(path)
    for step in (WavStep(AUDIO, 4.0), frames_step()):
        (outcome,) = step([clip_row()], [Media(str(path), str(path))])
        assert outcome.status == status and "a.flv" in outcome.detail and str(tmp_path) not in outcome.detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path):
    path = record(tmp_path / "a.flv", 5)
    path.chmod(0)
    with pytest.raises(MediaError) as e:
        read_head(str(path))
    assert e.value.outcome.status == "unreadable"


def test_a_name_with_a_null_byte():
    with pytest.raises(MediaError):
        read_head("a\0.flv")


@pytest.mark.parametrize(
    "name", ["with space.flv", "-i.flv", 'it\'s "q".flv', "звук 音 🎺.flv", "a%03d.flv", "http:x?y#z.flv"]
)
def test_any_file_name(tmp_path, name, monkeypatch):
    record(tmp_path / "plain.flv", 10).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (outcome,) = frames_step()([clip_row()], [Media(None, name)])
    assert outcome.status == "ok", outcome.detail


def test_the_log_level_is_restored(tmp_path):
    (tmp_path / "a.flv").write_bytes(b"nothing")
    level = av.logging.get_level()
    with pytest.raises(MediaError), open_media(str(tmp_path / "a.flv")):
        pass
    assert av.logging.get_level() == level


def test_streams_and_span_of_a_file(tmp_path):
    with open_media(str(record(tmp_path / "a.flv", 10, sound=sine(1.0)))) as container:
        assert len(video_streams(container)) == 1 and start_time(container) >= 0
    for side in ("audio", "video"):
        assert clip_span(clip_row(), side, 4.0) == (0.0, 4.0)
        assert clip_span(clip_row(1.0, 3.0), side, 4.0) == (1.0, 2.0)
        assert clip_span(clip_row(1.0, 9.0), side, 4.0) == (1.0, 4.0)
    two_times = clip_row(1.0, 3.0) | {"video_start": None, "video_end": 0.5}
    assert clip_span(two_times, "audio", 4.0) == (1.0, 2.0) and clip_span(two_times, "video", 4.0) == (
        0.0,
        0.5,
    )
    assert isinstance(frames_step(), FramesStep)


def test_a_stream_that_starts_in_the_middle_raises_no_error():
    """PyAV knows only the streams at the beginning and raises IndexError at the end."""

    def demux(stream):
        yield from ("one", "two", "flush")
        raise IndexError("list index out of range")

    assert [*stream_packets(SimpleNamespace(demux=demux), None)] == ["one", "two", "flush"]
