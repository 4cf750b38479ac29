"""Archives that fsspec opens: of an S3 server, a web server and a stand-in of the Hugging Face Hub."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants

from pipeline.errors import UserError
from pipeline.media import members
from pipeline.media.members import raw_archive
from pipeline.sources import archive
from pipeline.sources.archive import parquet_clips
from testing.archives import write_parquet, write_tar
from testing.hub_server import HubServer

CONTENTS = {f"{i:03d}.mp4": bytes([i]) * 900 for i in range(40)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The same media in two tars and two Parquet files."""
    root = tmp_path_factory.mktemp("archives")
    halves = list(CONTENTS.items())[:20], list(CONTENTS.items())[20:]
    for i, half in enumerate(halves):
        write_tar(root / f"{i:03d}.tar", half)
        rows = [{"video": {"bytes": content, "path": name}} for name, content in half]
        write_parquet(root / f"{i:03d}.parquet", rows, ("video",))
    return root


@pytest.fixture(autouse=True)
def forget(tmp_path, monkeypatch) -> Iterator[None]:
    """Forget what this process knows of remote archives: each test has other servers."""
    monkeypatch.chdir(tmp_path)
    yield
    raw_archive._open_remote.cache_clear()
    raw_archive._stat_remote.cache_clear()


def clips(archives: str | list[str]) -> list[dict]:
    return archive.clips(SimpleNamespace(archives=archives, folder=".")).table.to_pylist()


def check_contents(archives: str) -> None:
    """Check that the members of all clips have their bytes, and that a clip's state is known."""
    rows = clips(archives)
    assert len(rows) == len(CONTENTS)
    for row in rows:
        with members.open_member(row["video"]) as member:
            assert member.read() == CONTENTS[row["video"].rpartition("::")[2]]
    outcome = archive.fetch(rows[0], None)
    assert outcome.status == "ok" and outcome.extra["modified"]


@pytest.mark.parametrize("suffix", ["tar", "parquet"])
def test_s3(s3, folder, suffix):
    import s3fs

    s3fs.S3FileSystem().put(str(folder / f"*.{suffix}"), f"{s3}/")
    pattern = "{000..001}" if suffix == "tar" else "*"
    check_contents(f"{s3}/{pattern}.{suffix}")
    with pytest.raises(UserError, match="no archive"):
        clips(f"{s3}/{{000..002}}.{suffix}")
    with pytest.raises(UserError, match="data.archives"):
        clips("s3://no-such-bucket-here/*.tar")


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[HubServer]:
    server = HubServer()
    # The address is changed in this process alone: no other one may list the Parquet files.
    monkeypatch.setattr(archive, "list_parquet_clips", lambda paths: [*map(parquet_clips.list_clips, paths)])
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "".join(template[1:]))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield server
    server.stop()
    huggingface_hub.close_session()
    huggingface_hub.HfFileSystem.clear_instance_cache()


@pytest.mark.parametrize("suffix", ["tar", "parquet"])
def test_hub(hub, folder, suffix):
    hub.repos["me/sounds"] = [{path.name: path.read_bytes() for path in folder.iterdir()}]
    pattern = "{000..001}" if suffix == "tar" else "*"
    check_contents(f"hf://datasets/me/sounds/{pattern}.{suffix}")
    with pytest.raises(UserError, match="no archive"):
        clips("hf://datasets/me/nothing/0.tar")


class WebServer:
    """Serves the files of a folder. mode: `ranges`, `whole` (ignores ranges), `500`, `no size`."""

    def __init__(self, root: Path) -> None:
        self.mode, self.requests, owner = "ranges", 0, self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_) -> None:
                pass

            def do_GET(self) -> None:
                owner.requests += 1
                path = root / self.path.rpartition("/")[2]
                status = 500 if owner.mode == "500" else 200 if path.exists() else 404
                content = path.read_bytes() if status == 200 else b""
                part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                total = len(content)
                if part and owner.mode == "ranges" and status == 200:
                    status, content = 206, content[int(part[1]) : int(part[2]) + 1]
                self.send_response(status)
                if status == 206:
                    self.send_header(
                        "Content-Range", f"bytes {part[1]}-{int(part[1]) + len(content) - 1}/{total}"
                    )
                if owner.mode == "ranges":
                    self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", '"1"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            do_HEAD = do_GET

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def web(folder) -> Iterator[WebServer]:
    pytest.importorskip("aiohttp")
    server = WebServer(folder)
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.mark.parametrize("suffix", ["tar", "parquet"])
def test_web_server(web, suffix):
    check_contents(f"{web.url}/{{000..001}}.{suffix}")
    if suffix == "tar":  # 40 members are read in a few requests
        assert web.requests < 30


def test_servers_that_fail_are_a_line_or_a_reason(web, monkeypatch):
    monkeypatch.setattr(archive, "READ_SIZE", 4096)
    monkeypatch.setattr(archive.tar_index, "READ_SIZE", 4096)
    web.mode = "500"
    with pytest.raises(UserError, match="cannot be reached|no archive"):
        clips(f"{web.url}/000.tar")
    web.mode = "whole"
    with pytest.raises(UserError, match="000.tar: cannot be reached"):
        clips(f"{web.url}/000.tar")
    raw_archive._stat_remote.cache_clear()
    raw_archive._open_remote.cache_clear()
    web.mode = "ranges"
    row = clips(f"{web.url}/000.tar")[0]
    web.mode = "500"
    raw_archive._open_remote.cache_clear()
    with pytest.raises(members.MediaError) as e:
        members.open_member(row["video"]).read()
    assert e.value.outcome.status in ("network", "unreadable") and "000.tar" in e.value.outcome.detail
