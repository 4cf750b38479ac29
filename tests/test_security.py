"""What hostile files, lists, models and parameters try, and that nothing comes of it: docs/security.md."""

import ast
import contextlib
import ctypes
import http.server
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
import torch

from app.decoder import Decoder
from earsight import load
from models import checkpoint
from models.inference import vector_index
from models.inference.search import Library
from models.sharing import cav_mae_checkpoint
from models.training.recorder import resumable_precision
from pipeline import params
from pipeline.download import ytdlp
from pipeline.errors import UserError
from pipeline.media.ffmpeg import MAX_PIXELS
from pipeline.media.files import Media
from pipeline.media.local_files import opened
from pipeline.media.wav import WavStep, write_wav
from pipeline.report import experiment_page, page
from pipeline.sources import audioset_lists, folder
from pipeline.store.shards import Arrays
from testing import defaults
from testing.recordings import AUDIO, clip, record, sine
from testing.untrained import built
from tests.pipeline.media.test_frames import step as frames_step
from tests.pipeline.report.test_experiment_page import Page, example
from tests.pipeline.sources.test_audioset import asked, rows
from tests.pipeline.sources.test_audioset import folder as lists  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
CODE = [p for f in ("pipeline", "models", "app", "stages", "experiments") for p in (ROOT / f).rglob("*.py")]
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


def outcomes(path) -> list:
    """What the stages `wav` and `frames` make of a file."""
    media = [Media(str(path), str(path))]
    return [outcome for step in (WavStep(AUDIO, 4.0), frames_step()) for outcome in step([clip()], media)]


@contextlib.contextmanager
def opening(place: Path):
    """The names of the files in a folder that somebody opens meanwhile, whoever it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0 and libc.inotify_add_watch(watch, os.fsencode(place), 0x20) >= 0  # IN_OPEN
    seen: list[str] = []
    try:
        yield seen
        with contextlib.suppress(BlockingIOError):
            while content := os.read(watch, 65536):
                while content:
                    size = struct.unpack_from("iIII", content)[3]
                    seen.append(os.fsdecode(content[16 : 16 + size].rstrip(b"\0")))
                    content = content[16 + size :]
    finally:
        os.close(watch)


# --- options --------------------------------------------------------------------------------------------


def test_names_that_begin_with_a_dash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("-i.flv", "-f lavfi -i sine.flv", "--version.flv", "-rf/-y.flv")
    for name in names:
        path = tmp_path / "-videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        record(tmp_path / "plain.flv", 10, sound=sine(1.0)).rename(path)
    found = folder.clips(SimpleNamespace(folder="-videos")).to_pylist()
    assert len(found) == len(names) and not [r for r in found if r["clip_id"].startswith("-")]
    for row in found:
        assert row["video"].startswith("./")
        assert [o.status for o in outcomes(row["video"])] == ["ok", "ok"], row["video"]


@pytest.mark.parametrize(
    "place",
    [
        "--upload-pack=touch canary; .git",
        "ext::sh -c 'touch canary' .git",
        "-oProxyCommand=touch canary@host:x.git",
        "ssh://-oProxyCommand=touch%20canary/x.git",
        "file:///nowhere.git",
    ],
)
@pytest.mark.parametrize("revision", [None, "--upload-pack=touch canary", "-h"])
def test_no_address_of_a_model_is_a_command(tmp_path, monkeypatch, place, revision):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as e:
        load(place, revision=revision)
    assert len(str(e.value).splitlines()) == 1 and not (tmp_path / "canary").exists()


# --- paths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../secret.flv",
        "a/../../secret.flv",
        "./../videos/../secret.flv",
        "/etc/passwd",
        "//etc/passwd",
        "C:\\secret.flv",
        "~/secret.flv",
        "file:///etc/passwd",
        "concat:a.flv|../secret.flv",
        "http://127.0.0.1/secret.flv",
        "a.flv\0../secret.flv",
    ],
)
def test_no_row_leaves_the_folder(tmp_path, path):
    record(tmp_path / "secret.flv", 5)
    (tmp_path / "videos/a").mkdir(parents=True)
    record(tmp_path / "videos/a.flv", 5)
    (tmp_path / "videos/clips.csv").write_text(f'path,clip_id\na.flv,good\n"{path}",bad\n')
    with pytest.raises(UserError, match="clips.csv: .*line 3"):
        folder.clips(SimpleNamespace(folder=str(tmp_path / "videos")))


def test_a_link_shows_nothing_of_a_file_that_is_no_media(tmp_path):
    """Links to files are followed (docs/security.md): what is no media comes out as a reason alone."""
    (tmp_path / "passwords").write_text("root:x:0:0:hunter2\n" * 50)
    (tmp_path / "a.flv").symlink_to(tmp_path / "passwords")
    for outcome in outcomes(tmp_path / "a.flv"):
        assert outcome.status in ("corrupt", "refused") and "root" not in outcome.detail


def test_names_in_media_shards_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    names = ("../../evil.mp4", f"{tmp_path}/evil.mp4", "a.mp4/../../evil", ".", "..", "-y.-i")
    values = [{"audio": None, "video": {"bytes": b"x", "path": name}} for name in names]
    with opened(values) as media:
        for one in media:
            assert Path(one.video).resolve().is_relative_to(tmp_path / "scratch")
            assert Path(one.video).read_bytes() == b"x" and not Path(one.video).name.startswith("-")
    assert os.listdir(tmp_path) == ["scratch"] and not os.listdir(tmp_path / "scratch")


# --- files that name others -----------------------------------------------------------------------------


def naming(secret: Path) -> dict[str, bytes]:
    """Files of formats that name others."""
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
    for name, content in naming(secret).items():
        path = tmp_path / f"hostile{suffix}"
        path.write_bytes(content)
        with opening(tmp_path / "secret") as seen:
            found = outcomes(path)
        assert not seen, name
        for outcome in found:
            assert outcome.status in ("refused", "corrupt", "no_audio", "no_video"), name
            assert str(secret) not in outcome.detail, name


@LINUX
def test_a_movie_whose_tracks_lie_elsewhere(tmp_path):
    """QuickTime may name the file that a track's data are in, by an alias record."""
    secret = record(tmp_path / "secret.mov", 30, codec="mpeg4", sound=None)
    content = bytearray(record(tmp_path / "whole.mov", 30, codec="mpeg4", sound=None).read_bytes())
    (tmp_path / "aside").mkdir()
    secret = secret.rename(tmp_path / "aside/secret.mov")
    at = content.index(b"dref") + 12  # its one entry: size, "url ", version and flags
    assert content[at + 4 : at + 8] == b"url "
    text = str(secret).encode()
    alias = bytes(10) + bytes(27 + 1) + bytes(12) + bytes([len(b"secret.mov")]) + b"secret.mov".ljust(63)
    alias += bytes(16) + struct.pack(">hh", 1, 2) + bytes(16) + struct.pack(">hh", 2, len(text)) + text
    alias += bytes(len(text) % 2) + struct.pack(">hh", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    old = struct.unpack_from(">I", content, at)[0]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = content.index(name) - 4
        size = struct.unpack_from(">I", content, start)[0] + len(entry) - old
        content[start : start + 4] = struct.pack(">I", size)
    content[at : at + old] = entry
    (tmp_path / "hostile.mov").write_bytes(content)
    with opening(tmp_path / "aside") as seen:
        outcomes(tmp_path / "hostile.mov")
    assert not seen


def test_a_name_with_a_pattern_is_one_file(tmp_path):
    bright = np.full((32, 32, 3), 255, np.uint8)
    from PIL import Image

    for suffix in ("png", "jpg", "bmp", "tiff"):
        for number in range(3):
            Image.fromarray(bright).save(tmp_path / f"a{number}.{suffix}")
        Image.fromarray(bright // 8).save(tmp_path / f"a%d.{suffix}")
        assert outcomes(tmp_path / f"a%d.{suffix}")[1].value.mean() < 60


# --- addresses ------------------------------------------------------------------------------------------


@pytest.fixture
def inside():
    """A service of the own network: its port, and who came."""
    visits: list = []
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.settimeout(0.2)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    visits.append(service.accept()[1])

        listener = threading.Thread(target=listen)
        listener.start()
        yield service.getsockname()[1], visits
        over.set()
        listener.join()


def test_no_list_of_clips_has_addresses(tmp_path, inside):
    port, visits = inside
    where = tmp_path / "videos"
    where.mkdir()
    for address in (f"http://127.0.0.1:{port}/a.flv", f"tcp://127.0.0.1:{port}", "http://169.254.169.254/a"):
        (where / "clips.csv").write_text(f"path\n{address}\n")
        with pytest.raises(UserError, match="no file"):
            folder.clips(SimpleNamespace(folder=str(where)))
        assert {o.status for o in outcomes(address)} == {"unreadable"}
        with pytest.raises(UserError, match="no such folder"):
            folder.clips(SimpleNamespace(folder=address))
    time.sleep(0.3)
    assert not visits


def test_segments_name_videos_and_no_addresses(lists, inside):  # noqa: F811
    """What stands in a list goes into download.url as an id or not at all."""
    port, visits = inside
    hostile = [
        f"http://127.0.0.1:{port}/x",
        f"@127.0.0.1:{port}/x",
        "169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "x&list=y",
        "x#y",
        "x/../../y",
        "%2e%2e%2f",
        "x{id}",
        "--exec=touch canary",
    ]
    (lists / "train list.csv").write_text("".join(f'{v}, 0.0, 10.0, "/m/a"\n' for v in hostile))
    found = rows(eval=[])
    assert len(found) == len(hostile) and not visits
    assert all(r["audio"] is None and r["video"] is None and r["clip_id"].startswith("line_") for r in found)


@pytest.mark.parametrize(
    "scheme", ["file:///etc/hostname", "ftp://127.0.0.1/a", "gopher://127.0.0.1/a", "//x/a"]
)
def test_a_list_is_a_path_or_comes_by_http(lists, scheme):  # noqa: F811
    with pytest.raises(UserError, match="no such file: give a path or a URL"):
        rows(train=[scheme])


class Hostile(http.server.BaseHTTPRequestHandler):
    """Answers as `answers` says: path -> (status, headers, body)."""

    answers: dict = {}

    def do_GET(self) -> None:
        status, headers, body = self.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def hostile():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_no_list_comes_from_where_a_server_sends(lists, hostile):  # noqa: F811
    (lists / "secret.csv").write_text('abc, 0.0, 10.0, "/m/a"\n')
    for number, target in enumerate(
        (f"file://{lists}/secret.csv", "ftp://127.0.0.1/x", f"{lists}/secret.csv")
    ):
        Hostile.answers = {f"/{number}": (302, {"Location": target}, b"")}
        with pytest.raises(UserError, match="cannot be fetched") as e:
            rows(train=[f"{hostile}/{number}"], eval=[])
        assert len(str(e.value).splitlines()) == 1


def test_a_list_without_end_is_cut_off(lists, hostile, monkeypatch):  # noqa: F811
    import gzip

    monkeypatch.setattr(audioset_lists, "MOST", 1 << 20)
    body = gzip.compress(b"# nothing\n" * 1_000_000)  # 10 MB of 10 kB
    Hostile.answers = {"/a.csv": (200, {"Content-Encoding": "gzip"}, body)}
    with pytest.raises(UserError, match="over 1 MB"):
        rows(train=[f"{hostile}/a.csv"], eval=[])
    assert not list(audioset_lists.LISTS.iterdir())


@LINUX
@pytest.mark.parametrize("kind", ["redirect", "playlist", "page"])
def test_no_server_reaches_a_file_here(tmp_path, hostile, kind):
    (tmp_path / "secret").mkdir()
    secret = record(tmp_path / "secret/secret.mp4", 60, codec="mpeg4", sound=sine(2.0), sound_codec="aac")
    name = f"file://{secret}"
    lines = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{name}\n#EXT-X-ENDLIST\n".encode()
    html = f'<html><video src="{name}"></video><meta property="og:video" content="{name}"></html>'.encode()
    Hostile.answers = {
        "/redirect": (302, {"Location": name}, b""),
        "/playlist": (200, {"Content-Type": "application/x-mpegURL"}, lines),
        "/page": (200, {"Content-Type": "text/html"}, html),
    }
    settings = params.read(defaults.PARAMS).download
    settings = settings.model_copy(update={"url": f"{hostile}/{{id}}", "stall": 2.0, "timeout": 20.0})
    row = {"video_id": kind, "video": f"{hostile}/{kind}#t=0,1"}
    (tmp_path / "out").mkdir()
    with opening(tmp_path / "secret") as seen:
        outcome = ytdlp.fetch(row, settings, str(tmp_path / "out/a.mkv"))
    assert outcome.status in ("network", "refused", "unavailable", "corrupt") and not seen
    assert not os.listdir(tmp_path / "out")


# --- bombs ----------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, body: bytes | None = None) -> bytes:
    """RGBA, one byte a channel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = zlib.compress(bytes(100)) if body is None else body
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def whole_png(side: int) -> bytes:
    """One that is what it says: equal rows, which zlib makes small."""
    squeezed = zlib.compressobj(1)
    row = bytes(4 * side + 1)
    rows_ = [squeezed.compress(row * 64) for _ in range(side // 64)]
    return png(side, side, b"".join([*rows_, squeezed.compress(row * (side % 64)), squeezed.flush()]))


BOMBS = {
    "png": png(100_000, 100_000),
    "png of the largest numbers": png(2**31 - 1, 2**31 - 1),
    "png of 16,000": png(16_000, 16_000),
    "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0xF7, 0, 0) + bytes(768)
    + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x08\x04\x00\x01\x02\x03\x00;",
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 65500, 65500) + b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    + b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00" + bytes(64) + b"\xff\xd9",
    "webp": b"RIFF" + struct.pack("<I", 60) + b"WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2
    + b"VP8L" + struct.pack("<I", 20) + b"\x2f\xff\xff\xff\x0f" + bytes(15),
    "bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 200, 0, 54, 40, 100_000, 100_000, 1, 24, 0, 0, 0, 0, 0, 0)
    + bytes(100),
    "tiff": b"II*\0\x08\0\0\0\x05\0" + b"".join(
        struct.pack("<HHII", *field) for field in
        ((256, 4, 1, 100_000), (257, 4, 1, 100_000), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8))
    ) + bytes(64),
    "qoi and others": b"qoif" + struct.pack(">IIBB", 2**31, 2**31, 4, 0) + bytes(32),
}  # fmt: skip


def measured(path: Path) -> dict:
    """The outcome of `frames` in a process of its own: status, detail, seconds, MB that it took."""
    code = (
        "import json, resource, sys, time\n"
        "from tests.pipeline.media.test_frames import step\n"
        "from pipeline.media.files import Media\n"
        "from testing.recordings import clip\n"
        "use = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "before, began = use(), time.monotonic()\n"
        "[o] = step()([clip()], [Media(None, sys.argv[1])])\n"
        "told = {'s': time.monotonic() - began, 'MB': use() - before}\n"
        "print(json.dumps(told | {'status': o.status, 'detail': o.detail}))\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True).stdout)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_header_that_claims_too_much(tmp_path, kind):
    path = tmp_path / "a.png"
    path.write_bytes(BOMBS[kind])
    began = time.monotonic()
    heard, seen = outcomes(path)
    assert time.monotonic() - began < 5
    assert heard.status in ("no_audio", "corrupt", "refused") and seen.status in ("corrupt", "refused")
    if kind.startswith("png"):
        assert seen.status == "refused" and "pixels are too many" in seen.detail


def test_a_picture_that_is_as_large_as_it_says(tmp_path):
    """324 MB of a file of 1.4 MB: refused before any of it is decoded."""
    side = 9000
    assert side**2 > MAX_PIXELS
    (tmp_path / "a.png").write_bytes(whole_png(side))
    told = measured(tmp_path / "a.png")
    assert told["status"] == "refused" and "9000 x 9000" in told["detail"]
    assert told["s"] < 2 and told["MB"] < 100


def headers() -> dict[str, bytes]:
    """Sounds and videos whose headers say what cannot be."""
    tone = write_wav((sine(1.0, rate=16000) * 32767).astype(np.int16), 16000)

    def changed(place: int, form: str, *values: int) -> bytes:
        content = bytearray(tone)
        struct.pack_into(form, content, place, *values)
        return bytes(content)

    endless = struct.pack(">4sIIIII", b".snd", 24, 2**32 - 1, 3, 2**31, 1) + bytes(1000)
    return {
        "size of 2^32": changed(4, "<I", 2**32 - 1)[:40] + struct.pack("<I", 2**32 - 1) + tone[44:],
        "no size": changed(40, "<I", 0),
        "rate of 2^32": changed(24, "<I", 2**32 - 1),
        "rate of 0": changed(24, "<I", 0),
        "65,535 channels": changed(22, "<H", 65535),
        "no channels": changed(22, "<H", 0),
        "no block": changed(32, "<H", 0),
        "65,535 bits": changed(34, "<H", 65535),
        "au without end": endless,
        "RF64": b"RF64\xff\xff\xff\xffWAVEds64"
        + struct.pack("<IQQQI", 28, 2**63, 2**63, 2**63, 0)
        + tone[12:],
    }


@pytest.mark.parametrize("kind", headers())
def test_a_sound_without_end(tmp_path, kind):
    path = tmp_path / "a.wav"
    path.write_bytes(headers()[kind])
    began = time.monotonic()
    heard, seen = outcomes(path)
    assert time.monotonic() - began < 10
    assert heard.status in ("ok", "corrupt", "too_short", "no_audio", "refused"), heard
    if heard.status == "ok":
        assert heard.extra["seconds"] <= 4.0 and len(heard.value) <= 44 + 2 * 4 * AUDIO.sample_rate
    assert seen.value is None


def test_a_video_that_says_it_never_ends(tmp_path):
    content = bytearray(record(tmp_path / "a.mov", 30, codec="mpeg4").read_bytes())
    for name in (b"mvhd", b"mdhd"):
        at = content.index(name) + 20  # version, two times, the clock; then the duration
        content[at : at + 4] = b"\xff\xff\xff\xfe"
    (tmp_path / "a.mov").write_bytes(content)
    began = time.monotonic()
    seen = outcomes(tmp_path / "a.mov")[1]
    assert seen.status == "ok" and seen.extra["seconds"] <= 4.0 and time.monotonic() - began < 10


def greedy(config: dict, path: str, start: float) -> int:
    """Instead of a decoder: one that asks for 8 GB."""
    return len(np.ones(8 << 30, np.uint8))


def test_the_page_s_decoder_may_not_ask_for_all_memory(tmp_path):
    (tmp_path / "a.png").write_bytes(BOMBS["png"])
    decoder = Decoder(tmp_path, workers=1, work=greedy)
    try:
        with pytest.raises(UserError, match="a.png: the decoder crashed on it: .* asks for too much"):
            decoder.read({"input": "frame", "inputs": {}}, tmp_path / "a.png")
    finally:
        decoder.close()


# --- pickles --------------------------------------------------------------------------------------------


class Canary:
    """Makes a file where somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    pickle.loads(pickle.dumps(Canary(path)))
    path.rmdir()  # it sings
    yield path
    assert not path.exists()


def test_no_array_is_unpickled(tmp_path, canary):
    np.save(tmp_path / "00000.npy", np.array([Canary(canary)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        Arrays((2, 3), "float16").read(tmp_path / "00000.npy")
    (tmp_path / "00001.npy").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ValueError, match="pickled|allow_pickle"):
        Arrays((2, 3), "float16").read(tmp_path / "00001.npy")


@pytest.mark.parametrize(
    "write", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))], ids=["zip", "pickle"]
)
def test_no_model_is_unpickled(tmp_path, canary, write):
    evil = {"state_dict": Canary(canary), "callbacks": Canary(canary)}
    model = built(video_encoder="shallow")
    checkpoint.save(tmp_path, model.module, model.config)
    write(evil, tmp_path / "model.safetensors")
    for ask in (checkpoint.load, load):
        with pytest.raises(UserError, match="not a model"):
            ask(tmp_path)
    write(evil, tmp_path / "x.ckpt")
    assert (
        resumable_precision(tmp_path / "x.ckpt", "x", "train") is None and not (tmp_path / "x.ckpt").exists()
    )
    for name in ("model.pth", "model.safetensors"):
        write(evil, tmp_path / name)
        with pytest.raises(UserError, match="not a file of weights"):
            cav_mae_checkpoint.read(tmp_path / name)


def test_an_index_is_data_alone(tmp_path, canary):
    points = np.random.default_rng(0).normal(size=(10_000, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    path = tmp_path / "audio.faiss"
    vector_index.save(vector_index.build(points, "flat"), path)
    whole = path.read_bytes()
    huge = whole[:4] + struct.pack("<iq", 8, 1 << 50) + whole[16:]
    for content in (
        pickle.dumps(Canary(canary)),
        huge,
        whole[:100],
        b"",
        b"IwPQ",
        b"IHNf",
        b"IxPT" + whole[4:],
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read"):
            vector_index.load(path, points)


@LINUX
def test_no_index_opens_another_file(tmp_path):
    """FAISS can keep a part of an index in a file that the index names."""
    points = np.random.default_rng(0).normal(size=(10_000, 8)).astype(np.float32)
    (tmp_path / "secret").mkdir()
    index = vector_index.build(points, "ivf_pq")
    vector_index.save(index, tmp_path / "good.faiss")
    assert vector_index.load(tmp_path / "good.faiss", points).search(points[:1], 3)[0].shape == (1, 3)
    elsewhere = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(tmp_path / "secret/lists"))
    for number in range(index.nlist):
        held = index.invlists
        size = held.list_size(number)
        elsewhere.add_entries(number, size, held.get_ids(number), held.get_codes(number))
    index.replace_invlists(elsewhere, False)
    vector_index.save(index, tmp_path / "named.faiss")
    graph = faiss.IndexHNSWFlat(8, 4, faiss.METRIC_INNER_PRODUCT)  # an index within an index
    inner = (tmp_path / "named.faiss").read_bytes()
    graph.add(points[:100])
    vector_index.save(graph, tmp_path / "graph.faiss")
    content = (tmp_path / "graph.faiss").read_bytes()
    (tmp_path / "graph.faiss").write_bytes(content[: content.index(b"IxFI")] + inner)
    for name in ("named", "graph"):
        with opening(tmp_path / "secret") as seen, pytest.raises(UserError, match="names another file"):
            vector_index.load(tmp_path / f"{name}.faiss", points)
        assert not seen


def test_embeddings_are_numbers(tmp_path, canary):
    model = built(video_encoder="shallow")
    place = tmp_path / "data/embeddings"
    place.mkdir(parents=True)
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"clip_id": ["a"]}), place / "clips.parquet")
    for side in ("audio", "video"):
        np.save(place / f"{side}.npy", np.array([Canary(canary)], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="no embeddings there"):
        Library.open(tmp_path, model)


def _calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}, node


@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_code_runs_what_it_reads(path):
    """No pickle, no YAML of objects, no shell, anywhere: a new line of the kind fails here."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        a.name.partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names
    }
    imported |= {str(n.module).partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not imported & {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
    for name, how, node in _calls(tree):
        assert name not in ("eval", "exec", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load"), (
            name
        )
        assert how.get("shell") in (None, "False") and how.get("allow_pickle") in (None, "False"), name
        if name == "torch.load":
            assert how.get("weights_only") == "True"
        if name == "yaml.load":
            loader = how.get("Loader") or ast.unparse(node.args[1])
            assert loader in ("Yaml", "yaml.CSafeLoader", "yaml.SafeLoader")


# --- YAML and JSON --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir ['CANARY']",
        "!!python/object/new:os.mkdir ['CANARY']",
        "!!python/name:os.system",
        "!!python/module:os",
        '!!python/object/apply:subprocess.check_output [["mkdir", "CANARY"]]',
        "!<tag:yaml.org,2002:python/object/apply:os.mkdir> ['CANARY']",
    ],
)
def test_no_tag_makes_an_object(tmp_path, canary, tag):
    tag = tag.replace("CANARY", str(canary))
    text = defaults.PARAMS.read_text(encoding="utf-8")
    for hostile in (text.replace("loss: infonce", f"loss: {tag}"), f"{text}\nmore: {tag}\n", tag):
        (tmp_path / "params.yaml").write_text(hostile)
        with pytest.raises(UserError, match="not YAML") as e:
            params.read(tmp_path / "params.yaml")
        assert len(str(e.value).splitlines()) == 1
    preset = tmp_path / "experiments"
    preset.mkdir()
    (preset / "evil.yaml").write_text(f"loss: {tag}\n")
    for name in ("__main__.py", "__init__.py"):
        if (ROOT / "experiments" / name).exists():
            (preset / name).write_text((ROOT / "experiments" / name).read_text())
    command = [sys.executable, "-m", "experiments", "evil"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and not done.stdout


def test_a_few_lines_that_stand_for_gigabytes(tmp_path):
    """Aliases of aliases: 9^9 words, of which an error shows a line."""
    lines = ["x0: &x0 [" + ",".join(["word"] * 9) + "]"]
    lines += [f"x{i}: &x{i} [{','.join([f'*x{i - 1}'] * 9)}]" for i in range(1, 9)]
    text = defaults.PARAMS.read_text(encoding="utf-8").replace("loss: infonce", "loss: *x8")
    (tmp_path / "params.yaml").write_text("\n".join(lines) + "\n" + text)
    began = time.monotonic()
    with pytest.raises(UserError, match="loss: .*should be a valid string") as e:
        params.read(tmp_path / "params.yaml")
    assert time.monotonic() - began < 10 and len(str(e.value)) < 10_000


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 20_000,
        "a: " + "{a: " * 3000,
        "- " * 3000,
        "seed: 1" + "0" * 5000,
        "seed: 0x" + "f" * 9000,
        "day: 2020-99-99",
    ],
    ids=["lists", "mappings", "items", "digits", "hexadecimal", "date"],
)
def test_parameters_without_end_are_one_line(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError) as e:
        params.read(tmp_path / "params.yaml")
    assert len(str(e.value)) < 20_000


def test_json_without_end_is_one_line(lists, tmp_path):  # noqa: F811
    (lists / "ontology.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not AudioSet's ontology"):
        audioset_lists.Classes.read(asked(descendants=True).audioset)
    model = built(video_encoder="shallow")
    checkpoint.save(tmp_path / "model", model.module, model.config)
    (tmp_path / "model/config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not a model"):
        checkpoint.load(tmp_path / "model")


# --- HTML -----------------------------------------------------------------------------------------------

EVIL = (
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<script>alert(1)<",
    "'-alert(1)-'",
    "{{7*7}}",
)


def test_no_name_of_a_file_is_markup(tmp_path):
    """Folders and files that are called like HTML, through the clip table into the report and a search."""
    for name in EVIL:
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / f"{name}.flv").write_bytes(b"x")
    table = folder.clips(SimpleNamespace(folder=str(tmp_path / "videos"))).to_pylist()
    assert {label for row in table for label in row["labels"]} == set(EVIL)
    data = example(len(table))
    data.clips = {row["clip_id"]: clip | {"labels": row["labels"]}
                  for row, clip in zip(table, data.clips.values(), strict=True)}  # fmt: skip
    ids = list(data.clips)
    hits = [{"clip_id": i, "score": 0.5, "relevant": None} for i in ids]
    data.galleries = {"audio_to_video": [{"query": ids[0], "results": hits}]}
    data.classes, data.spectrograms = {name: 3 for name in EVIL}, {name: np.eye(8) for name in EVIL}
    pages = [experiment_page.build(data, tmp_path / "report.html")]
    shown = experiment_page.shown_clips(data.galleries, data.clips)
    lists_ = experiment_page.shown_galleries(data.galleries, shown)
    found = {"name": f"{EVIL[0]}.flv", "total": 5, "galleries": lists_}
    pages.append(page.write(tmp_path / "search.html", "search.html", shown, **found))
    for path in pages:
        text = path.read_text(encoding="utf-8")
        parsed = Page(text)
        assert not [a for a in parsed.attributes if a[1].startswith("on")]
        assert not [a for a in parsed.attributes if a[0] == "img" and a[1] == "src" and a[2] == "x"]
        assert "<script>alert" not in text and EVIL[0] in " ".join(parsed.words)
        assert text.count("{{7*7}}") >= 1  # shown, and not computed
