"""Check and open media files with PyAV: of this machine, or members of archives.

Files that refer to other files are refused.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
import av.logging
import pyarrow as pa
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from pipeline.media import ffmpeg
from pipeline.media.members import MediaError, is_member, open_member

# A column of the indexes: the duration of a clip's real data, s; the rest of its value is padding.
SECONDS_COLUMN = ("seconds", pa.float64())

# First bytes of playlists, which may have any file name.
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
# First bytes of still pictures -> demuxer: ffmpeg's own choice, image2, reads patterns of file names.
PICTURES = {
    b"\xff\xd8\xff": "jpeg_pipe",
    b"\x89PNG\r\n\x1a\n": "png_pipe",
    b"BM": "bmp_pipe",
    b"II*\0": "tiff_pipe",
    b"MM\0*": "tiff_pipe",
}
# Flags of video streams that are no video, such as the cover of an album.
NO_VIDEO_FLAGS = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(frozen=True, slots=True)
class Media:
    """The files of a clip.

    audio, video: the paths of the files with the sound and with the picture, which are usually one file, or
    the locations of members of archives (pipeline/media/members). None: the clip has no sound, or no picture.
    """

    audio: str | None
    video: str | None


def read_head(path: str, size: int = 64) -> bytes:
    """Return the first `size` bytes of a file, or all if there are fewer.

    path: of the file, or the location of a member. Raises MediaError if it is not a regular, readable,
    non-empty file.
    """
    name = os.path.basename(path)
    if is_member(path):
        with open_member(path) as member:
            return _require_content(member.read(size), name)
    try:
        # Non-blocking: otherwise `open` of a named pipe without a writer would wait forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as e:
        raise MediaError("unreadable", f"{name}: {getattr(e, 'strerror', None) or e}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            file_type = "a directory" if stat.S_ISDIR(mode) else "no plain file"
            raise MediaError("unreadable", f"{name}: is {file_type}")
        first_bytes = os.read(descriptor, size)
    except OSError as e:
        raise MediaError("unreadable", f"{name}: {e.strerror}") from None
    finally:
        os.close(descriptor)
    return _require_content(first_bytes, name)


def _require_content(first_bytes: bytes, name: str) -> bytes:
    if not first_bytes:
        raise MediaError("corrupt", f"{name}: empty file")
    return first_bytes


@contextmanager
def open_media(path: str) -> Iterator[InputContainer]:
    """Open a media file for a `with` block, and close it afterwards. path: or the location of a member.

    Raises MediaError if it cannot be opened, or if FFmpeg raises an error in the block.
    """
    name = os.path.basename(path)
    demuxer = check_head(path)
    try:
        container = _open(path, demuxer)
    except av.FFmpegError as e:
        raise MediaError(*_explain_failure(path, demuxer, e)) from None
    try:
        yield container
    except av.FFmpegError as e:
        raise MediaError("corrupt", f"{name}: {_describe(e)}") from None
    finally:
        container.close()


def check_head(path: str) -> str | None:
    """Return ffmpeg's demuxer for a file if it is a still picture; None: ffmpeg detects it.

    Raises MediaError if the first bytes of the file are those of a playlist, or if it cannot be read.
    """
    name = os.path.basename(path)
    first_bytes = read_head(path)
    if first_bytes.startswith(b"version https://git-lfs"):
        raise MediaError("unreadable", f"{name}: a pointer of Git LFS and not the file itself: git lfs pull")
    if first_bytes.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(PLAYLISTS):
        raise MediaError("refused", f"{name}: a playlist, which names other files")
    return _picture_demuxer(first_bytes)


def _open(path: str, demuxer: str | None) -> InputContainer:
    """Open a media file with PyAV. demuxer: ffmpeg's name of the file format; None: ffmpeg detects it."""
    # The container closes a member: nothing else refers to it.
    file: Any = open_member(path) if is_member(path) else ffmpeg.url(path)
    return av.open(file, format=demuxer, options=dict(ffmpeg.GUARD), metadata_errors="replace")


def _explain_failure(path: str, demuxer: str | None, error: av.FFmpegError) -> tuple[str, str]:
    """Return (status, detail) for a file that could not be opened. error: PyAV's.

    The error does not say whether a whitelist refused the file; ffmpeg's log does.
    """
    name = os.path.basename(path)
    if "not on whitelist" in _log_of_opening(path, demuxer).lower():
        return "refused", f"{name}: a playlist, or a format that is not read"
    return "corrupt", f"{name}: {_describe(error)}"


def _describe(error: av.FFmpegError) -> str:
    """Return what is wrong with a file. FFmpeg calls the early end of a file an input/output error."""
    return "damaged, or cut off" if error.errno == errno.EIO else error.strerror or str(error)


def _log_of_opening(path: str, demuxer: str | None) -> str:
    """Open a file again and return the messages that ffmpeg's libraries log meanwhile."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # a message equal to that of the file before must be logged again
    try:
        with av.logging.Capture(local=True) as logs, contextlib.suppress(av.FFmpegError):
            _open(path, demuxer).close()
    finally:
        av.logging.set_level(level)
    return "\n".join(message for _, _, message in logs)


def oversized_picture(path: str) -> str:
    """Return the size of the pictures in a file, such as "9000 x 9000", if ffmpeg refuses them as too large.

    The size is only in ffmpeg's log. Return "" if they are not too large.
    """
    log = _log_of_opening(path, _picture_demuxer(read_head(path)))
    match = re.search(r"Picture size (\d+x\d+) (?:exceeds|is invalid)", log)
    return match[1].replace("x", " x ") if match else ""


def _picture_demuxer(first_bytes: bytes) -> str | None:
    """Return ffmpeg's demuxer for a file that begins with these bytes, or None if it is no still picture."""
    for signature, demuxer in PICTURES.items():
        if first_bytes.startswith(signature):
            return demuxer
    return None


def start_time(container: InputContainer) -> float:
    """Return the time stamp at which a container starts, s. A clip's `start` is relative to it."""
    return (container.start_time or 0) / av.time_base  # PyAV counts in units of 1 / av.time_base s


def stream_packets(container: InputContainer, stream: Stream) -> Iterator[Packet]:
    """Yield the packets of one stream, from the current position to the end of the file."""
    # If a stream starts in the middle of a file, PyAV raises IndexError after the last packet.
    with contextlib.suppress(IndexError):
        yield from container.demux(stream)


def video_streams(container: InputContainer) -> list:
    """Return the video streams without covers and thumbnails."""
    return [stream for stream in container.streams.video if not stream.disposition & NO_VIDEO_FLAGS]


def side_span(clip: dict, side: str) -> tuple[float, float | None]:
    """Return (start, end) of the part of its file that the sound or the picture of a clip is, s.

    The end is None if it is that of the file. clip: a row of the clip table, with `start` and `end` (s or
    None), or such times of its sides. side: "audio" or "video".
    """
    span = clip.get(f"{side}_start"), clip.get(f"{side}_end")
    start, end = (clip["start"], clip["end"]) if span == (None, None) else span
    return start or 0.0, end


def clip_span(clip: dict, side: str, clip_seconds: float) -> tuple[float, float]:
    """Return (start, maximum duration) of the part of its file that a side of a clip is, s.

    clip: a row of the clip table. side: "audio" or "video". clip_seconds: a clip is not longer.
    """
    start, end = side_span(clip, side)
    return start, clip_seconds if end is None else min(clip_seconds, end - start)
