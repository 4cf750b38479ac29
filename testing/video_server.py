"""A local video server: ranges, errors, cut, slow and endless answers."""

import http.server
import re
import threading
import time
from pathlib import Path

from testing.recordings import grey_frame, record, sine


class Server:
    """Serve `media` (bytes) under any name; some names cause errors. `stop` ends the server.

    requests: the requested names, in order (GET only).
    """

    def __init__(self, media: bytes, files: dict[str, bytes] | None = None, slow: float = 0.0) -> None:
        self.media, self.files, self.slow = media, files or {}, slow
        self.requests: list[str] = []
        self.remaining_429: dict[str, int] = {}  # name -> number of further answers 429
        self.stopped = threading.Event()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_) -> None:
                pass

            def do_HEAD(self) -> None:
                owner.answer(self, body=False)

            def do_GET(self) -> None:
                owner.requests.append(self.path.strip("/").split(".")[0])
                owner.answer(self, body=True)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request: http.server.BaseHTTPRequestHandler, body: bool) -> None:
        name = request.path.strip("/").split(".")[0]
        kind = name.rpartition("-")[2]
        if kind in ("404", "403", "500"):
            request.send_error(int(kind))
            return
        if kind == "429" and self.remaining_429.setdefault(name, 2) > 0:
            self.remaining_429[name] -= 1
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
            while body and not self.stopped.is_set():
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
        content_range = content[first : last + 1]
        try:
            if kind in ("cut", "stall"):
                request.wfile.write(
                    content_range[: min(len(content_range) // 2, max(len(content) // 2 - first, 0))]
                )
                request.wfile.flush()
                if kind == "stall":
                    self.stopped.wait(20)
                request.close_connection = True
                request.connection.shutdown(2)
                return
            if self.slow:
                time.sleep(self.slow)
            request.wfile.write(content_range)
        except OSError:
            request.close_connection = True


def encode_video(path: Path, seconds: float = 6.0, sound: bool = True, picture: bool = True) -> bytes:
    """Write an MP4 whose index comes first, as on servers; return its content."""
    record(
        path,
        frames=[grey_frame(i % 60) for i in range(round(seconds * 30))] if picture else 0,
        codec="mpeg4",
        sound=sine(seconds) if sound else None,
        sound_codec="aac",
        container_options={"movflags": "+faststart"},
    )
    return path.read_bytes()
