"""Media files on this machine: checked, opened in this process (PyAV), and nothing else opened with them."""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
import av.logging
import pyarrow as pa
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from pipeline.media import ffmpeg
from pipeline.store.status import Outcome, failed

SECONDS = ("seconds", pa.float64())  # a column: how much of the clip is real; what follows is padding

# A playlist may have any name, so it is known by how it begins.
PLAYLISTS = (
    b"#EXTM3U",
    b"ffconcat",
    b"[playlist]",
    b"<?xml",
    b"<MPD",
    b"<smil",
    b"<asx",
    b"v=0\r",
    b"v=0\n",
    b"RTSPtext",
)
# Still pictures: their demuxer is named, since the one that ffmpeg would take reads patterns of file names.
PICTURES = {
    b"\xff\xd8\xff": "jpeg_pipe",
    b"\x89PNG\r\n\x1a\n": "png_pipe",
    b"BM": "bmp_pipe",
    b"II*\0": "tiff_pipe",
    b"MM\0*": "tiff_pipe",
}
NOT_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails  # an album's cover is no video


@dataclass(frozen=True, slots=True)
class Media:
    """Where a clip's sound and picture are on this machine: two paths, the same one for an ordinary clip."""

    audio: str | None
    video: str | None


class MediaError(Exception):
    """A file that gives no data, with the reason as an Outcome."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome: Outcome = failed(status, detail)


def head(path: str, size: int = 64) -> bytes:
    """The first bytes of `path`; MediaError unless it is a plain file, can be read, and is not empty."""
    name = os.path.basename(path)
    try:
        # Not blocking, so that a named pipe without a writer is an answer and not a wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as e:
        raise MediaError("unreadable", f"{name}: {getattr(e, 'strerror', None) or e}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            what = "a directory" if stat.S_ISDIR(mode) else "no plain file"
            raise MediaError("unreadable", f"{name}: is {what}")
        start = os.read(descriptor, size)
    except OSError as e:
        raise MediaError("unreadable", f"{name}: {e.strerror}") from None
    finally:
        os.close(descriptor)
    if not start:
        raise MediaError("corrupt", f"{name}: empty file")
    return start


@contextmanager
def opened(path: str) -> Iterator[InputContainer]:
    """The file at `path`, opened; raises MediaError where it cannot be, and where decoding it fails."""
    name = os.path.basename(path)
    start = head(path)
    if start.startswith(b"version https://git-lfs"):
        raise MediaError("unreadable", f"{name}: a pointer of Git LFS and not the file itself: git lfs pull")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(PLAYLISTS):
        raise MediaError("refused", f"{name}: a playlist, which names other files")
    form = _form(start)
    try:
        container = _open(path, form)
    except av.FFmpegError as e:
        raise MediaError(*_why(path, form, e)) from None
    try:
        yield container
    except av.FFmpegError as e:
        raise MediaError("corrupt", f"{name}: {e.strerror}") from None
    finally:
        container.close()


def _open(path: str, form: str | None) -> InputContainer:
    return av.open(ffmpeg.url(path), format=form, options=dict(ffmpeg.GUARD), metadata_errors="replace")


def _why(path: str, form: str | None, error: av.FFmpegError) -> tuple[str, str]:
    """Status and detail for a file that did not open. Only the log tells what the whitelists refuse."""
    name = os.path.basename(path)
    if "not on whitelist" in _said(path, form).lower():
        return "refused", f"{name}: a playlist, or a format that is not read"
    return "corrupt", f"{name}: {error.strerror}"


def _said(path: str, form: str | None) -> str:
    """What ffmpeg's libraries log while they open a file."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # else the reason hangs on what the file before was told
    try:
        with av.logging.Capture(local=True) as said, contextlib.suppress(av.FFmpegError):
            _open(path, form).close()
    finally:
        av.logging.set_level(level)
    return "\n".join(message for _, _, message in said)


def too_large(path: str) -> str:
    """The size of a picture in the file that is refused for it, as the log tells; empty where none is."""
    found = re.search(r"Picture size (\d+x\d+) (?:exceeds|is invalid)", _said(path, _form(head(path))))
    return found[1].replace("x", " x ") if found else ""


def _form(start: bytes) -> str | None:
    return next((f for magic, f in PICTURES.items() if start.startswith(magic)), None)


def begin(container: InputContainer) -> float:
    """The container's own time of its start, s: a clip's `start` counts from it, in sound and picture."""
    return (container.start_time or 0) / av.time_base


def packets(container: InputContainer, stream: Stream) -> Iterator[Packet]:
    """Those of one stream. Where a stream came to the file on the way, PyAV fails after the last one."""
    with contextlib.suppress(IndexError):
        yield from container.demux(stream)


def pictures(container: InputContainer) -> list:
    """The video streams, covers and thumbnails left out."""
    return [s for s in container.streams.video if not s.disposition & NOT_PICTURES]


def span(clip: dict, clip_seconds: float) -> tuple[float, float]:
    """(start, seconds at most) of what a clip's features cover, s."""
    start = clip["start"] or 0.0
    length = clip_seconds if clip["end"] is None else min(clip_seconds, clip["end"] - start)
    return start, length
