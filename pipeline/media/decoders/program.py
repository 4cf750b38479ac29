"""Run the ffmpeg program on a media file, under the limits that hold for PyAV (pipeline/media/files.py).

The program decodes; its output, raw frames in the container NUT, is small and is read with PyAV. What it says
about a file (start, sizes, errors) stands in its log, which is on its standard error.
"""

import contextlib
import ctypes
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeVar

import av

from pipeline.media import ffmpeg
from pipeline.media.files import MediaError, check_head
from pipeline.media.members import local_file

T = TypeVar("T")

CPU_SECONDS = 600  # of a process, at most: one whose worker was killed ends, too
MAX_LOG = 1 << 20  # bytes of the log that are read; damaged files can fill a disk with messages
OVERHEAD = 1 << 20  # bytes of its output besides samples and pixels, at most
MAX_LINE = 1000  # characters of a line of the log: regular expressions search it
TIME_IS_UP = f"received signal {int(signal.SIGXCPU)}"
INVALID_DATA = "Invalid data found when processing input"
PR_SET_PDEATHSIG = 1  # of prctl: send this signal to the process when its parent ends
KINDS = {"audio": "sound", "video": "picture"}  # kind of stream -> its name in messages
# Messages of the program -> (status, what is wrong). The first one that occurs counts.
ERRORS = (
    (r"not on whitelist", "refused", "a playlist, or a format that is not read"),
    (r"Picture size (\d+)x(\d+) (?:exceeds|is invalid)", "refused", r"\1 x \2 pixels are too many"),
    (r"[Nn]o decoder found|Decoder \(?.+ not found", "refused", "no decoder for its {kind}"),
)  # fmt: skip


@dataclass(frozen=True)
class Output:
    """What the program wrote: content, the bytes of its standard output; log, the lines of its messages."""

    content: bytes
    log: list[str]

    def find(self, pattern: str) -> re.Match | None:
        """Return the first match of a regular expression at the beginning of a line of the log."""
        return next(filter(None, map(re.compile(pattern).match, self.log)), None)

    @property
    def start_time(self) -> float | None:
        """The time stamp at which the file's container starts, s; None if it does not say.

        A clip's `start` is relative to it.
        """
        match = self.find(r"  Duration: [^,]*, start: (-?[\d.]+)")
        return float(match[1]) if match else None

    @property
    def container_format(self) -> str:
        """ffmpeg's name of the file format; empty if the file could not be opened."""
        match = self.find(r"Input #0, (\S+), from ")
        return match[1] if match else ""

    def frames(self) -> Iterator[Any]:
        """Yield the frames in `content`, a NUT file; none if the program wrote none."""
        # PyAV raises this for a file without frames.
        with (
            contextlib.suppress(av.InvalidDataError),
            av.open(io.BytesIO(self.content), "r", format="nut") as container,
        ):
            yield from container.decode(container.streams[0])


def on_local_file(decode: Callable[..., T], path: str, *arguments: Any) -> T:
    """Return `decode(path, *arguments)`. path: of a file; a member of an archive is copied to one before."""
    with local_file(path) as local_path:
        return decode(local_path, *arguments)


def open_input(path: str, **options: Any) -> Any:
    """Return the file `path` as an input of ffmpeg-python, with the options that guard every file.

    options: of the input, such as `ss`. Raises MediaError if the file is a playlist or cannot be read.
    """
    import ffmpeg as library  # takes 0.1 s, and few need it

    if demuxer := check_head(path):
        options["format"] = demuxer
    # Packets without a time stamp get one, as in PyAV: those of an MPEG program stream.
    return library.input(ffmpeg.url(path), threads=1, fflags="+genpts", **ffmpeg.GUARD, **options)


def seek_options(origin: float | None, start_time: float) -> dict[str, Any]:
    """Return the options of an input that is read from the keyframe before `origin` on.

    origin: a time stamp of the container, s; None: from its beginning. start_time: of the container, s.
    """
    if origin is None:
        return {}
    return {"ss": f"{origin - start_time:.6f}", "noaccurate_seek": None}


def run(path: str, max_bytes: int, *outputs: Any) -> Output:
    """Run the program with `outputs` of ffmpeg-python. Return what it wrote.

    path: of the input. max_bytes: of the standard output; the program ends when there is more.
    Time stamps are those of the container (-copyts). Errors of the file are in the log (`explain`). Raises
    MediaError if the program crashes.
    """
    import ffmpeg as library

    outputs = library.merge_outputs(*outputs).global_args(
        "-nostdin", "-hide_banner", "-copyts", "-timelimit", str(CPU_SECONDS)
    )
    command = library.compile(outputs, cmd=ffmpeg.binary())
    messages: list[bytes] = []
    # A session of its own: Ctrl-C ends the worker, and with it the program, whose output else were cut off.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        reader = threading.Thread(target=_read_log, args=(process.stderr, messages), daemon=True)
        reader.start()
        try:
            content = process.stdout.read(max_bytes)
            if len(content) == max_bytes:
                process.kill()
                raise MediaError("corrupt", f"{os.path.basename(path)}: decodes to far too much")
        except BaseException:
            process.kill()
            raise
        finally:
            reader.join()
    name = os.path.basename(path)
    log = [line[:MAX_LINE] for line in b"".join(messages).decode("utf-8", "replace").splitlines()]
    if process.returncode < 0:
        reason = signal.Signals(-process.returncode).name
        raise MediaError("crashed", f"{name}: the ffmpeg program crashed ({reason})")
    if any(TIME_IS_UP in line for line in log):
        raise MediaError("timeout", f"{name}: not done after {CPU_SECONDS} s of processor time")
    return Output(content, log)


def explain(path: str, log: list[str], kind: str) -> MediaError:
    """Return the error that says why the program wrote nothing for the file `path`.

    log: its messages. kind: "audio" or "video", which of its streams should be decoded.
    """
    name = os.path.basename(path)
    if any("matches no streams" in line for line in log):
        return MediaError(f"no_{kind}", f"{name}: no {KINDS[kind]} track")
    for pattern, status, reason in ERRORS:
        if match := next(filter(None, map(re.compile(pattern).search, log)), None):
            return MediaError(status, f"{name}: {match.expand(reason).format(kind=KINDS[kind])}")
    is_invalid = any(INVALID_DATA in line for line in log)
    return MediaError("corrupt", f"{name}: {INVALID_DATA if is_invalid else 'nothing can be decoded'}")


def _read_log(pipe: IO[bytes], messages: list[bytes]) -> None:
    """Append the first MAX_LOG bytes of a pipe to `messages`, and read the rest of it."""
    messages.append(pipe.read(MAX_LOG))
    while pipe.read(MAX_LOG):
        pass


def _end_with_parent() -> None:
    """Have Linux kill this new process when its parent ends, even if that was killed."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


_libc = ctypes.CDLL(None)  # the functions of the C library
