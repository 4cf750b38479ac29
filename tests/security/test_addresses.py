"""Addresses and files that lists and servers name are not opened."""

import contextlib
import http.server
import os
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from pipeline import config
from pipeline.download import ytdlp
from pipeline.errors import UserError
from pipeline.sources import folder
from pipeline.sources.published import list_files
from testing import defaults
from testing.recordings import record, sine
from tests.pipeline.sources.test_audioset import rows
from tests.security.attempts import LINUX, outcomes, record_opened_files


@pytest.fixture
def internal_service():
    """Start a service in the local network; yield its port and the list of visits."""
    visits: list = []
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.settimeout(0.2)
        stopped = threading.Event()

        def listen() -> None:
            while not stopped.is_set():
                with contextlib.suppress(OSError):
                    visits.append(service.accept()[1])

        listener = threading.Thread(target=listen)
        listener.start()
        yield service.getsockname()[1], visits
        stopped.set()
        listener.join()


def test_a_clip_list_with_an_address_is_refused(tmp_path, internal_service):
    port, visits = internal_service
    videos = tmp_path / "videos"
    videos.mkdir()
    for address in (f"http://127.0.0.1:{port}/a.flv", f"tcp://127.0.0.1:{port}", "http://169.254.169.254/a"):
        (videos / "clips.csv").write_text(f"path\n{address}\n")
        with pytest.raises(UserError, match="no file"):
            folder.clips(SimpleNamespace(folder=str(videos), pair="none"))
        assert {o.status for o in outcomes(address)} == {"unreadable"}
        with pytest.raises(UserError, match="no such folder"):
            folder.clips(SimpleNamespace(folder=address, pair="none"))
    time.sleep(0.3)
    assert not visits


def test_a_video_id_that_is_an_address_gets_no_url(audioset_folder, internal_service):
    """An entry of a list goes into download.url only if it is a valid id."""
    port, visits = internal_service
    video_ids = [
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
    (audioset_folder / "train list.csv").write_text("".join(f'{v}, 0.0, 10.0, "/m/a"\n' for v in video_ids))
    clips = rows(eval=[])
    assert len(clips) == len(video_ids) and not visits
    assert all(r["audio"] is None and r["video"] is None and r["clip_id"].startswith("line_") for r in clips)


@pytest.mark.parametrize(
    "scheme", ["file:///etc/hostname", "ftp://127.0.0.1/a", "gopher://127.0.0.1/a", "//x/a"]
)
def test_a_list_is_a_path_or_an_http_url(audioset_folder, scheme):
    with pytest.raises(UserError, match="no such file: give a path or a URL"):
        rows(train=[scheme])


class HostileHandler(http.server.BaseHTTPRequestHandler):
    """Send the answers of `answers`: path -> (status, headers, body)."""

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
def hostile_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HostileHandler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_redirect_to_a_file_is_refused(audioset_folder, hostile_server):
    (audioset_folder / "secret.csv").write_text('abc, 0.0, 10.0, "/m/a"\n')
    for number, target in enumerate(
        (f"file://{audioset_folder}/secret.csv", "ftp://127.0.0.1/x", f"{audioset_folder}/secret.csv")
    ):
        HostileHandler.answers = {f"/{number}": (302, {"Location": target}, b"")}
        with pytest.raises(UserError, match="cannot be downloaded") as e:
            rows(train=[f"{hostile_server}/{number}"], eval=[])
        assert len(str(e.value).splitlines()) == 1


def test_a_list_over_the_size_limit_is_refused(audioset_folder, hostile_server, monkeypatch):
    import gzip

    monkeypatch.setattr(list_files, "MAX_BYTES", 1 << 20)
    body = gzip.compress(b"# nothing\n" * 1_000_000)  # 10 MB of 10 kB
    HostileHandler.answers = {"/a.csv": (200, {"Content-Encoding": "gzip"}, body)}
    with pytest.raises(UserError, match="over 1 MB"):
        rows(train=[f"{hostile_server}/a.csv"], eval=[])
    assert not list(list_files.LISTS.iterdir())


@LINUX
@pytest.mark.parametrize("kind", ["redirect", "playlist", "page"])
def test_no_server_answer_opens_a_local_file(tmp_path, hostile_server, kind):
    (tmp_path / "secret").mkdir()
    secret = record(tmp_path / "secret/secret.mp4", 60, codec="mpeg4", sound=sine(2.0), sound_codec="aac")
    name = f"file://{secret}"
    lines = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{name}\n#EXT-X-ENDLIST\n".encode()
    html = f'<html><video src="{name}"></video><meta property="og:video" content="{name}"></html>'.encode()
    HostileHandler.answers = {
        "/redirect": (302, {"Location": name}, b""),
        "/playlist": (200, {"Content-Type": "application/x-mpegURL"}, lines),
        "/page": (200, {"Content-Type": "text/html"}, html),
    }
    settings = config.read(defaults.PARAMS).download
    settings = settings.model_copy(update={"url": f"{hostile_server}/{{id}}", "stall": 2.0, "timeout": 20.0})
    row = {"video_id": kind, "video": f"{hostile_server}/{kind}#t=0,1"}
    (tmp_path / "out").mkdir()
    with record_opened_files(tmp_path / "secret") as opened_files:
        outcome = ytdlp.download_clip(row, settings, str(tmp_path / "out/a.mkv"))
    assert outcome.status in ("network", "refused", "unavailable", "corrupt") and not opened_files
    assert not os.listdir(tmp_path / "out")
