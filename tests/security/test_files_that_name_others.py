"""Files named by playlists, scripts and patterns are not opened."""

import struct
from pathlib import Path

import numpy as np
import pytest

from testing.recordings import record, sine
from tests.security.attempts import LINUX, outcomes, record_opened_files


def files_that_name(secret: Path) -> dict[str, bytes]:
    """Return files of formats that name another file: format -> content."""
    texts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n",
        "hls of a file": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "hls behind blanks": f"\n\n  #EXTM3U\n#EXTINF:5,\n{secret}\n",
        "hls key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{secret}"\n#EXTINF:5,\n{secret}\n',
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "concat without its first line": f"file '{secret}'\nfile '{secret}'\n",
        "dash": f"<?xml version='1.0'?><MPD><Period><BaseURL>{secret}</BaseURL></Period></MPD>",
        "xspf": f"<playlist><track><location>{secret}</location></track></playlist>",
        "asx": f'<asx version="3.0"><entry><ref href="{secret}"/></entry></asx>',
        "asf reference": f"[Reference]\nRef1={secret}\n",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns={secret}\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        "sdp, later": "o=- 0 0 IN IP4 127.0.0.1\nv=0\ns=x\nm=audio 5006 RTP/AVP 0\n",
        "srt": f"1\n00:00:00,000 --> 00:00:05,000\n{secret}\n",
        "webvtt": f"WEBVTT\n\n00:00.000 --> 00:05.000\n{secret}\n",
        "ass": f"[Script Info]\nAudio File: {secret}\nVideo File: {secret}\n",
        "lrc": f"[00:00.00]{secret}\n",
        "sami": f'<SAMI><BODY><SYNC Start=0><P><IMG SRC="{secret}"></BODY></SAMI>',
        "vobsub": f"# VobSub index file, v7\nsize: 720x480\nid: en, index: 0\nlangidx: 0\n{secret}\n",
        "lavfi": f"movie={secret}",
        "avisynth": f'AviSource("{secret}")\n',
        "imf": f"<CompositionPlaylist><Id>urn:uuid:1</Id><Path>{secret}</Path></CompositionPlaylist>",
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{secret}"/></svg>',
        "metadata": f";FFMETADATA1\ntitle={secret}\n",
        "cue": f'FILE "{secret}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    }
    return {name: text.encode() for name, text in texts.items()}


@LINUX
@pytest.mark.parametrize("suffix", [".flv", ".mp4", ".m3u8", ".sdp", ".srt", ".idx", ".wav", ".png"])
def test_no_file_opens_another(tmp_path, suffix):
    (tmp_path / "secret").mkdir()
    secret = record(tmp_path / "secret/secret.flv", 30, sound=sine(2.0))
    for name, content in files_that_name(secret).items():
        path = tmp_path / f"hostile{suffix}"
        path.write_bytes(content)
        with record_opened_files(tmp_path / "secret") as opened_files:
            results = outcomes(path)
        assert not opened_files, name
        for outcome in results:
            assert outcome.status in ("refused", "corrupt", "no_audio", "no_video"), name
            assert str(secret) not in outcome.detail, name


@LINUX
def test_a_movie_with_its_tracks_in_another_file(tmp_path):
    """A QuickTime track may name, by an alias record, the file that holds its data."""
    secret = record(tmp_path / "secret.mov", 30, codec="mpeg4", sound=None)
    content = bytearray(record(tmp_path / "whole.mov", 30, codec="mpeg4", sound=None).read_bytes())
    (tmp_path / "aside").mkdir()
    secret = secret.rename(tmp_path / "aside/secret.mov")
    offset = content.index(b"dref") + 12  # its one entry: size, "url ", version and flags
    assert content[offset + 4 : offset + 8] == b"url "
    text = str(secret).encode()
    alias = bytes(10) + bytes(27 + 1) + bytes(12) + bytes([len(b"secret.mov")]) + b"secret.mov".ljust(63)
    alias += bytes(16) + struct.pack(">hh", 1, 2) + bytes(16) + struct.pack(">hh", 2, len(text)) + text
    alias += bytes(len(text) % 2) + struct.pack(">hh", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    old_size = struct.unpack_from(">I", content, offset)[0]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = content.index(name) - 4
        size = struct.unpack_from(">I", content, start)[0] + len(entry) - old_size
        content[start : start + 4] = struct.pack(">I", size)
    content[offset : offset + old_size] = entry
    (tmp_path / "hostile.mov").write_bytes(content)
    with record_opened_files(tmp_path / "aside") as opened_files:
        outcomes(tmp_path / "hostile.mov")
    assert not opened_files


def test_a_name_with_a_pattern_is_one_file(tmp_path):
    bright = np.full((32, 32, 3), 255, np.uint8)
    from PIL import Image

    for suffix in ("png", "jpg", "bmp", "tiff"):
        for number in range(3):
            Image.fromarray(bright).save(tmp_path / f"a{number}.{suffix}")
        Image.fromarray(bright // 8).save(tmp_path / f"a%d.{suffix}")
        assert outcomes(tmp_path / f"a%d.{suffix}")[1].value.mean() < 60
