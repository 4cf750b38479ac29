"""A server on loopback that answers as servers do: with ranges, with errors, half, slowly, without end."""

import http.server
import re
import threading
import time
from pathlib import Path

from testing.recordings import grey, record, sine


class Server:
    """Serves `media` (bytes) under any name, and misbehaves under some. Ended by `stop`.

    asked: the names that were asked for, in order (GET only). At most `most` s of stalling.
    """

    def __init__(self, media: bytes, files: dict[str, bytes] | None = None, slow: float = 0.0) -> None:
        self.media, self.files, self.slow = media, files or {}, slow
        self.asked: list[str] = []
        self.busy: dict[str, int] = {}  # name -> how often it still says 429
        self.over = threading.Event()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_) -> None:
                pass

            def do_HEAD(self) -> None:
                owner.answer(self, body=False)

            def do_GET(self) -> None:
                owner.asked.append(self.path.strip("/").split(".")[0])
                owner.answer(self, body=True)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.over.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request: http.server.BaseHTTPRequestHandler, body: bool) -> None:
        name = request.path.strip("/").split(".")[0]
        kind = name.rpartition("-")[2]
        if kind in ("404", "403", "500"):
            request.send_error(int(kind))
            return
        if kind == "429" and self.busy.setdefault(name, 2) > 0:
            self.busy[name] -= 1
            request.send_error(429)
            return
        if kind == "html":
            page = b"<html><head><title>Sorry</title></head><body>Nothing here.</body></html>"
            self.send(request, page, body, "text/html")
            return
        if kind == "endless":
            request.send_response(200)
            request.send_header("Content-Type", "video/mp4")
            request.send_header("Connection", "close")
            request.end_headers()
            while body and not self.over.is_set():
                request.wfile.write(b"\0" * 65536)
                time.sleep(0.005)
            request.close_connection = True
            return
        self.send(request, self.files.get(kind, self.media), body, "video/mp4", kind)

    def send(self, request, content: bytes, body: bool, mime: str, kind: str = "") -> None:
        first, last = 0, len(content) - 1
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", "")):
            first, last = int(match[1]), min(int(match[2] or last), last)
            if first > last:
                request.send_error(416)
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            request.send_response(200)
        request.send_header("Content-Type", mime)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(last - first + 1))
        request.end_headers()
        if not body:
            return
        part = content[first : last + 1]
        try:
            if kind in ("cut", "stall"):
                request.wfile.write(part[: min(len(part) // 2, max(len(content) // 2 - first, 0))])
                request.wfile.flush()
                if kind == "stall":
                    self.over.wait(20)
                request.close_connection = True
                request.connection.shutdown(2)
                return
            if self.slow:
                time.sleep(self.slow)
            request.wfile.write(part)
        except OSError:
            request.close_connection = True


def film(path: Path, seconds: float = 6.0, sound: bool = True, picture: bool = True) -> bytes:
    """An MP4 whose index comes first, as servers have them."""
    record(
        path,
        frames=[grey(i % 60) for i in range(round(seconds * 30))] if picture else 0,
        codec="mpeg4",
        sound=sine(seconds) if sound else None,
        sound_codec="aac",
        container_options={"movflags": "+faststart"},
    )
    return path.read_bytes()
