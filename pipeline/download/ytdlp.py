"""Download one segment of one video, with yt-dlp as a library, in a worker process.

yt-dlp finds the URL of the video's media. It runs ffmpeg, which reads the segment from there and encodes it
again: without that, cuts between keyframes are wrong (yt-dlp/yt-dlp#4694). The file is checked before it is
moved to its place.
"""

import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import psutil

from pipeline.engine import limits
from pipeline.engine.workers import watch_parent
from pipeline.errors import UserError
from pipeline.media import ffmpeg
from pipeline.store.status import OK, Outcome, failed

MAX_BYTES = 64 << 20  # of a segment
MAX_MEMORY = 4 << 30  # bytes of the worker, and of each ffmpeg
MAX_PAUSE = 60.0  # s after a clip, which keep the mean rate under download.rate_limit
# What may be missing at the end of a segment: seconds, or a fraction of its length if that is more.
MISSING_SECONDS, MISSING_FRACTION = 1.0, 0.1
STDERR = 2  # the file descriptor of standard error
YOUTUBE_HOSTS = ("youtube.com", "youtu.be")
JAVASCRIPT_RUNTIMES = ("deno", "node")

STDERR_TAIL = 400  # characters of ffmpeg's output in an error message: the reason is at its end
TEMPORARY_SUFFIXES = (".part", ".ytdl", ".temp")  # of yt-dlp's unfinished files
# (status, regular expression for the messages of YouTube, servers and ffmpeg that mean it). The first one
# that matches a message in lower case counts.
STATUS_PATTERNS = (
    ("private", r"private video|video is private"),
    ("age", r"confirm your age|age.restricted|inappropriate for some users|only available to (adults|.*18)"),
    ("region", r"in your country|from your location|geo.?(restrict|block)|in your region"),
    (
        "removed",
        r"removed by the uploader|has been removed|account.*terminated|removed for violating|copyright"
        r"|no longer available|account.*closed|taken down",
    ),
    ("network", r"not a bot|too many requests|\b429\b|4xx client error|try again later|rate.?limit"),
    ("network", r"error (403|408|425|5\d\d)|\b5xx\b|403 forbidden|access denied"),
    ("refused", r"unsupported url|no media|cannot find format|protocol not (found|on whitelist)"),
    (
        "unavailable",
        r"unavailable|not available|members.only|join this channel|premieres|live event|is live"
        r"|\b40[46]\b|\b410\b|does not exist|no video formats|requires payment|not found",
    ),
    ("no_video", r"matches no streams|does not contain any stream"),
    ("cut_short", r"ends prematurely|end of file|partial file|invalid nal|content ?too ?short|truncat"),
    (
        "network",
        r"timed? ?out|connection|resolve|unreachable|remote end|incomplete|ssl|input/output error|proxy",
    ),
    ("corrupt", r"invalid data|moov atom|could not find codec"),
)


def check_requirements(settings: Any) -> None:
    """Raise UserError if a program, library or file that downloading needs is missing.

    settings: the section `download` of params.yaml. Call it once, before the first request.
    """
    ffmpeg.binary()  # raises UserError if there is no ffmpeg
    if settings.cookies and not Path(settings.cookies).expanduser().is_file():
        raise UserError(f"download.cookies: {settings.cookies}: no such file")
    host = urlsplit(settings.url).hostname or ""
    if not any(host == site or host.endswith(f".{site}") for site in YOUTUBE_HOSTS):
        return
    try:
        import yt_dlp_ejs  # noqa: F401
    except ImportError:
        raise UserError(
            "download: YouTube needs yt-dlp's solver scripts: pip install 'yt-dlp[default]' (make setup does)"
        ) from None
    if not _javascript_runtimes():
        raise UserError(
            "download: YouTube needs a JavaScript runtime, and neither deno nor a node that is recent enough"
            " for yt-dlp is installed: pip install deno (make setup does)"
        )


def _javascript_runtimes() -> dict[str, dict[str, str]]:
    """Return the installed JavaScript runtimes that yt-dlp supports, in the form of its option `js_runtimes`.

    That is: name -> {"path": path of the program}.
    """
    from yt_dlp.globals import supported_js_runtimes

    runtimes = {}
    for name in JAVASCRIPT_RUNTIMES:
        info = supported_js_runtimes.value[name](None).info
        if info and info.supported:
            runtimes[name] = {"path": shutil.which(info.path) or info.path}
    return runtimes


def start_worker() -> None:
    """Prepare this worker process: limit its memory and the size of the files that it writes.

    It ignores Ctrl-C, which is for its parent. If the parent ends, this process and its ffmpeg end too.
    """
    limits.limit_process(MAX_MEMORY, 2 * MAX_BYTES)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit_worker)
    watch_parent(stop_children)


def _exit_worker(*_: Any) -> None:
    """End this process and its descendants at once. The arguments are those of a signal handler."""
    stop_children()
    os._exit(1)


def stop_children() -> None:
    """Kill all descendants of this process. Otherwise, ffmpeg would continue after this process has ended."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def download_clip(clip: dict, settings: Any, path: str) -> Outcome:
    """Download a clip to the file `path`. The file appears there complete or not at all.

    clip: a row of the clip table with `video_id` and the segment in its URL (#t=start,end in s). settings:
    the section `download` of params.yaml. The outcome has the status, and no value: that is in the file.
    """
    start, end = map(float, clip["video"].rpartition("#t=")[2].split(","))
    start_time = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix=".tmp-", dir=os.path.dirname(path)) as folder,
        _captured_stderr(folder) as read_stderr,
    ):
        is_late = threading.Event()

        def stop_download() -> None:
            is_late.set()
            stop_children()

        timer = threading.Timer(settings.timeout, stop_download)
        timer.start()
        try:
            info = _download_segment(clip["video_id"], start, end, Path(folder), settings, is_late)
            outcome = _check_file(Path(folder), start, end, info, read_stderr())
        except Exception as e:  # of yt-dlp or of any library that it uses: they may raise anything
            outcome = _error_outcome(e, read_stderr())
        finally:
            timer.cancel()
        if is_late.is_set():
            outcome = failed("timeout", f"not finished after {settings.timeout:g} s (download.timeout)")
        if outcome.status == OK:
            size = _move_to_disk(Path(outcome.value), path)
            outcome.value = None
            if settings.rate_limit:  # bytes/s. ffmpeg reads at full speed: a pause keeps the mean rate.
                elapsed = time.monotonic() - start_time
                time.sleep(max(0.0, min(size / settings.rate_limit - elapsed, MAX_PAUSE)))
        return outcome


def _move_to_disk(file: Path, path: str) -> int:
    """Move a file to `path`. Return its size in bytes.

    Its contents are written to the disk before: even after a power failure, `path` is complete or not there.
    """
    with open(file, "rb+") as f:
        os.fsync(f.fileno())
        size = f.seek(0, os.SEEK_END)
    os.replace(file, path)
    return size


def _download_segment(
    video_id: str, start: float, end: float, folder: Path, settings: Any, is_late: threading.Event
) -> dict:
    """Download a video from `start` to `end` (s) into `folder`, as clip.mkv or another extension.

    Return yt-dlp's information on the video. is_late: set by a timer; the download is then cancelled.
    """
    import yt_dlp
    from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

    # yt-dlp's command line sets this too: its check whether ffmpeg is installed ignores the options below.
    FFmpegPostProcessor._ffmpeg_location.set(ffmpeg.binary())

    def cancel_if_needed(state: dict) -> None:
        """Stop the download if it is too large or too slow. state: yt-dlp's, of the download so far."""
        if is_late.is_set() or state.get("downloaded_bytes", 0) > MAX_BYTES:
            raise yt_dlp.utils.DownloadCancelled("larger than any segment, or too slow")

    options = _options(start, end, folder, settings) | {"progress_hooks": [cancel_if_needed]}
    with yt_dlp.YoutubeDL(options) as ydl:
        return ydl.extract_info(settings.url.replace("{id}", video_id), download=True) or {}


def _options(start: float, end: float, folder: Path, settings: Any) -> dict[str, Any]:
    """Return yt-dlp's options for a video from `start` to `end` (s).

    folder: for the video, and for a copy of the cookies, since yt-dlp writes to their file. settings: the
    section `download` of params.yaml.
    """
    from yt_dlp.utils import download_range_func

    scaling = ["-vf", f"scale=-2:'min({settings.height},ih)':flags=area"]
    codecs = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    output = ["-b:a", "128k", "-fs", str(MAX_BYTES), "-t", f"{end - start:g}", "-f", "matroska"]
    options = {
        "format": _formats(settings.height),
        "download_ranges": download_range_func(None, [(start, end)]),
        "force_keyframes_at_cuts": True,
        "ffmpeg_location": ffmpeg.binary(),
        "external_downloader_args": {
            # The whitelist has no `file`: a playlist from a server cannot make ffmpeg read local files.
            "ffmpeg_i": [
                *("-rw_timeout", str(round(settings.stall * 1e6))),
                *("-max_pixels", str(ffmpeg.MAX_PIXELS)),
                *("-protocol_whitelist", "http,https,tcp,tls,crypto,httpproxy"),
            ],
            "ffmpeg": ["-nostdin", "-loglevel", "error", *scaling, *codecs, *output],
        },
        "outtmpl": {"default": "clip.%(ext)s"},
        "paths": {"home": str(folder)},
        "socket_timeout": settings.stall,
        "retries": 0,
        "extractor_retries": 0,
        "fragment_retries": 2,
        "proxy": settings.proxy,
        "noplaylist": True,
        "playlist_items": "1",
        "fixup": "never",
        "cachedir": False,
        "noprogress": True,
        "color": "never",
        "logger": _SilentLogger(),
        "js_runtimes": _javascript_runtimes(),
    }
    if settings.cookies:
        options["cookiefile"] = str(folder / "cookies.txt")
        shutil.copy(Path(settings.cookies).expanduser(), folder / "cookies.txt")
    return options


def _formats(height: int) -> str:
    """Return the formats that yt-dlp selects from, the preferred one first, in yt-dlp's notation.

    A video has at most `height` lines. Plain HTTP comes first, because ffmpeg can seek in it. bv and ba: the
    best picture and the best sound, b: the best file with both, w: the worst of all files.
    """
    low = f"[height<=?{height}]"
    low_http = f"{low}[protocol^=http]"
    return f"bv*{low_http}+ba[protocol^=http]/b{low_http}/bv*{low}+ba/b{low}/w"


def _check_file(folder: Path, start: float, end: float, info: dict, stderr: str) -> Outcome:
    """Return the path of the downloaded file as the outcome's value; or a failure if it is not complete.

    folder: of the file. start, end: of the segment, s. info: yt-dlp's information on the video. stderr:
    what ffmpeg printed, on one line.
    """
    info = next(iter(info.get("entries") or []), info)  # if it describes a playlist: its first video
    files = [path for path in folder.glob("clip.*") if path.suffix not in TEMPORARY_SUFFIXES]
    if not files:
        return failed("network", f"no file was downloaded: {stderr[-200:]}")
    file = files[0]
    expected_seconds = end - start
    if info.get("duration"):
        expected_seconds = max(min(end, float(info["duration"])) - start, 0.0)
    try:
        stream_types, seconds = _measure_streams(file)
    except av.FFmpegError as e:
        return failed("cut_short" if stderr else "corrupt", f"{e.strerror}: {stderr[-200:]}")
    if "video" not in stream_types:
        return failed("no_video", "no picture in the downloaded file")
    if "audio" not in stream_types:
        return failed("no_audio", "no sound in the downloaded file")
    if file.stat().st_size >= MAX_BYTES:  # ffmpeg stopped there
        return failed("refused", f"over {MAX_BYTES >> 20} MB")
    min_seconds = expected_seconds - max(MISSING_SECONDS, MISSING_FRACTION * expected_seconds)
    # Without an error message and a duration, the video itself may be this short.
    if seconds < min_seconds and (stderr or info.get("duration")):
        message = f"only {seconds:.1f} s of {expected_seconds:.1f} s downloaded {stderr[-150:]}"
        return failed("cut_short", message)
    if seconds <= 0:
        return failed("too_short", "the video ends before the segment begins")
    return Outcome(value=str(file))


def _measure_streams(path: Path) -> tuple[set[str], float]:
    """Return the types of a file's streams that have packets, and its length in s.

    Types are `audio`, `video` and others. The length is that of the shorter one of audio and video.
    """
    with av.open(ffmpeg.url(path), options=dict(ffmpeg.GUARD)) as file:
        ends: dict[str, float] = {}  # type of stream -> when its last packet ends, s
        for packet in file.demux():
            if packet.pts is not None and packet.size:
                stream_type = packet.stream.type
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[stream_type] = max(ends.get(stream_type, 0.0), end)
        lengths = [end for stream_type, end in ends.items() if stream_type in ("audio", "video")]
        return set(ends), min(lengths, default=0.0)


def _error_outcome(error: Exception, stderr: str) -> Outcome:
    """Return the failed outcome for an error: its status, guessed from the message, and the message.

    error: of yt-dlp. stderr: what ffmpeg, which yt-dlp runs, printed.
    """
    message = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # without the codes that colour a terminal
    message = message.removeprefix("ERROR: ")
    if "ffmpeg exited" in message:  # yt-dlp knows only the exit status; ffmpeg printed the reason
        message = f"{stderr[-STDERR_TAIL:]} {message}"
    return failed(guess_status(message), message)


def guess_status(message: str) -> str:
    """Return the status that an error message most probably means; `network` for an unknown message."""
    for status, pattern in STATUS_PATTERNS:
        if re.search(pattern, message.lower()):
            return status
    return "network"


class _SilentLogger:
    """A logger for yt-dlp that prints nothing: yt-dlp also raises its errors as exceptions."""

    def debug(self, message: str) -> None:
        """Do nothing with a message. All levels are the same."""

    info = warning = error = debug


@contextmanager
def _captured_stderr(folder: str) -> Iterator[Callable[[], str]]:
    """Send the standard error of this process, which ffmpeg inherits, to a file in `folder`.

    Yield a function that returns the text so far, on one line. The redirection ends with the `with` block.
    """
    path = Path(folder) / "stderr.txt"
    original_stderr = os.dup(STDERR)
    with open(path, "wb") as f:
        os.dup2(f.fileno(), STDERR)
    try:
        yield lambda: " ".join(path.read_text(errors="replace").split())
    finally:
        os.dup2(original_stderr, STDERR)
        os.close(original_stderr)
        with suppress(OSError):
            path.unlink()
