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
# What may be missing at the end of a segment: seconds, or a share of its length if that is more.
MISSING_SECONDS, MISSING_SHARE = 1.0, 0.1
YOUTUBE_HOSTS = ("youtube.com", "youtu.be")
JAVASCRIPT_RUNTIMES = ("deno", "node")

# (status, pattern of the messages of YouTube, servers and ffmpeg that mean it). The first match counts.
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

    settings: the section `download` of params.yaml. Called once, before the first request.
    """
    ffmpeg.binary()
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
    """Return the installed JavaScript runtimes that yt-dlp supports, as its option `js_runtimes`."""
    from yt_dlp.globals import supported_js_runtimes

    runtimes = {}
    for name in JAVASCRIPT_RUNTIMES:
        info = supported_js_runtimes.value[name](None).info
        if info and info.supported:
            runtimes[name] = {"path": shutil.which(info.path) or info.path}
    return runtimes


def start_worker() -> None:
    """Limit memory and file size, leave Ctrl-C to the parent, and end with it, ffmpeg included."""
    limits.limit_process(MAX_MEMORY, 2 * MAX_BYTES)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit_worker)
    watch_parent(stop_children)


def _exit_worker(*_: Any) -> None:
    stop_children()
    os._exit(1)


def stop_children() -> None:
    """Kill all descendants of this process: an ffmpeg would outlive it otherwise."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def fetch(clip: dict, settings: Any, path: str) -> Outcome:
    """Download a clip to `path`. The file appears there complete or not at all.

    clip: a row of the clip table with `video_id` and the segment in its URL (#t=start,end). settings: the
    section `download` of params.yaml. The outcome has no value: the file is the value.
    """
    start, end = map(float, clip["video"].rpartition("#t=")[2].split(","))
    start_time = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix=".tmp-", dir=os.path.dirname(path)) as folder,
        _captured_stderr(folder) as read_stderr,
    ):
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            stop_children()

        timer = threading.Timer(settings.timeout, stop)
        timer.start()
        try:
            info = _download(clip["video_id"], start, end, Path(folder), settings, is_late)
            outcome = _check_file(Path(folder), start, end, info, read_stderr())
        except Exception as e:  # of yt-dlp or of any library that it uses
            outcome = _error_outcome(e, read_stderr())
        finally:
            timer.cancel()
        if is_late.is_set():
            outcome = failed("timeout", f"not finished after {settings.timeout:g} s (download.timeout)")
        if outcome.status == OK:
            size = _move_to_disk(Path(outcome.value), path)
            outcome.value = None
            if settings.rate_limit:  # ffmpeg reads at full speed: the pause keeps the mean rate
                seconds = size / settings.rate_limit + start_time - time.monotonic()
                time.sleep(max(0.0, min(seconds, MAX_PAUSE)))
        return outcome


def _move_to_disk(file: Path, path: str) -> int:
    """Write the file's contents through to disk, then rename it to `path`. Return its size in bytes."""
    with open(file, "rb+") as f:
        os.fsync(f.fileno())
        size = f.seek(0, os.SEEK_END)
    os.replace(file, path)
    return size


def _download(
    video_id: str, start: float, end: float, folder: Path, settings: Any, is_late: threading.Event
) -> dict:
    """Download a segment (s) into `folder` as clip.*. Return yt-dlp's information on the video."""
    import yt_dlp
    from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

    # As yt-dlp's command line does: its check whether ffmpeg is installed ignores the options below.
    FFmpegPostProcessor._ffmpeg_location.set(ffmpeg.binary())

    def cancel_if_needed(state: dict) -> None:
        if is_late.is_set() or state.get("downloaded_bytes", 0) > MAX_BYTES:
            raise yt_dlp.utils.DownloadCancelled("larger than any segment, or too slow")

    options = _options(start, end, folder, settings) | {"progress_hooks": [cancel_if_needed]}
    with yt_dlp.YoutubeDL(options) as ydl:
        return ydl.extract_info(settings.url.replace("{id}", video_id), download=True) or {}


def _options(start: float, end: float, folder: Path, settings: Any) -> dict[str, Any]:
    """Return yt-dlp's options. Copies the cookies into `folder`, since yt-dlp writes to their file."""
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
    """Return a format selection of yt-dlp's: plain HTTP first, in which ffmpeg can seek."""
    low = f"[height<=?{height}]"
    plain = f"{low}[protocol^=http]"
    return f"bv*{plain}+ba[protocol^=http]/b{plain}/bv*{low}+ba/b{low}/w"


def _check_file(folder: Path, start: float, end: float, info: dict, stderr: str) -> Outcome:
    """Return the path of the downloaded file as the outcome's value, or a failure.

    start, end: of the segment, s. info: yt-dlp's on the video. stderr: of ffmpeg.
    """
    info = next(iter(info.get("entries") or []), info)
    files = [p for p in folder.glob("clip.*") if p.suffix not in (".part", ".ytdl", ".temp")]
    if not files:
        return failed("network", f"no file was downloaded: {stderr[-200:]}")
    expected = end - start
    if info.get("duration"):
        expected = max(min(end, float(info["duration"])) - start, 0.0)
    try:
        kinds, seconds = _measure_streams(files[0])
    except av.FFmpegError as e:
        return failed("cut_short" if stderr else "corrupt", f"{e.strerror}: {stderr[-200:]}")
    for kind, status in (("video", "no_video"), ("audio", "no_audio")):
        if kind not in kinds:
            return failed(status, f"no {'picture' if kind == 'video' else 'sound'} in the downloaded file")
    if files[0].stat().st_size >= MAX_BYTES:
        return failed("refused", f"over {MAX_BYTES >> 20} MB")
    shortest = expected - max(MISSING_SECONDS, MISSING_SHARE * expected)
    if seconds < shortest and (stderr or info.get("duration")):
        return failed("cut_short", f"only {seconds:.1f} s of {expected:.1f} s downloaded {stderr[-150:]}")
    if seconds <= 0:
        return failed("too_short", "the video ends before the segment begins")
    return Outcome(value=str(files[0]))


def _measure_streams(path: Path) -> tuple[set[str], float]:
    """Return the kinds of streams that have packets, and the shorter length (s) of sound and picture."""
    with av.open(ffmpeg.url(path), options=dict(ffmpeg.GUARD)) as file:
        ends: dict[str, float] = {}  # kind of stream -> s
        for packet in file.demux():
            if packet.pts is not None and packet.size:
                kind = packet.stream.type
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[kind] = max(ends.get(kind, 0.0), end)
        lengths = [s for kind, s in ends.items() if kind in ("audio", "video")]
        return set(ends), min(lengths, default=0.0)


def _error_outcome(error: Exception, stderr: str) -> Outcome:
    """Return the failure for an error of yt-dlp, or of the ffmpeg that it runs."""
    message = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR: ")
    if "ffmpeg exited" in message:  # the reason is in ffmpeg's output
        message = f"{stderr[-400:]} {message}"
    return failed(status_of_message(message), message)


def status_of_message(message: str) -> str:
    """Return the status that an error message stands for; `network` for an unknown one."""
    lower = message.lower()
    return next((status for status, pattern in STATUS_PATTERNS if re.search(pattern, lower)), "network")


class _SilentLogger:
    """A logger for yt-dlp that prints nothing: yt-dlp raises its errors, too."""

    def debug(self, message: str) -> None:
        pass

    info = warning = error = debug


@contextmanager
def _captured_stderr(folder: str) -> Iterator[Callable[[], str]]:
    """Send this process's standard error, which ffmpeg inherits, to a file in `folder`.

    Yield a function that returns the text so far, on one line.
    """
    path = Path(folder) / "stderr.txt"
    original = os.dup(2)
    with open(path, "wb") as f:
        os.dup2(f.fileno(), 2)
    try:
        yield lambda: " ".join(path.read_text(errors="replace").split())
    finally:
        os.dup2(original, 2)
        os.close(original)
        with suppress(OSError):
            path.unlink()
