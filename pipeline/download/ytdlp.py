"""One segment of one video, by yt-dlp as a library, in a process of its own.

yt-dlp finds the video and has ffmpeg read the segment from its address, and encode it anew: cuts between
keyframes come out wrong otherwise (yt-dlp/yt-dlp#4694). What arrives is looked at before it counts.
"""

import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
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

LARGEST = 64 << 20  # bytes of a segment: more is no segment
MEMORY = 4 << 30  # bytes that a download, and each ffmpeg, may ask for
LONGEST = 60.0  # s of rest after a clip
SHORT, PART = 1.0, 0.1  # s, or part of what was asked, that may be missing at the end
SITES = ("youtube.com", "youtu.be")
RUNTIMES = ("deno", "node")

# What YouTube, servers and ffmpeg say, and what it means; the first that fits.
REASONS = (
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


def ready(settings: Any) -> None:
    """Raise UserError where something is missing that it takes: told once, before the first request."""
    ffmpeg.binary()
    if settings.cookies and not Path(settings.cookies).expanduser().is_file():
        raise UserError(f"download.cookies: {settings.cookies}: no such file")
    host = urlsplit(settings.url).hostname or ""
    if not any(host == site or host.endswith(f".{site}") for site in SITES):
        return
    try:
        import yt_dlp_ejs  # noqa: F401
    except ImportError:
        raise UserError(
            "download: YouTube needs yt-dlp's solver scripts: pip install 'yt-dlp[default]' (make setup does)"
        ) from None
    if not _runtimes():
        raise UserError(
            "download: YouTube needs a JavaScript runtime, and neither deno nor a node that is new enough for"
            " yt-dlp is there: pip install deno (make setup does)"
        )


def _runtimes() -> dict[str, dict[str, str]]:
    """JavaScript runtimes that are there and that yt-dlp can use, as its option `js_runtimes` takes them."""
    from yt_dlp.globals import supported_js_runtimes

    found = {}
    for name in RUNTIMES:
        info = supported_js_runtimes.value[name](None).info
        if info and info.supported:
            found[name] = {"path": shutil.which(info.path) or info.path}
    return found


def start_worker() -> None:
    """Ctrl-C is the parent's to answer; no worker and no ffmpeg outlives it, or fills the disk."""
    limits.limit_process(MEMORY, 2 * LARGEST)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    watch_parent(stop_children)


def _end(*_: Any) -> None:
    stop_children()
    os._exit(1)


def stop_children() -> None:
    """Kill all that this process started: an ffmpeg would go on without it."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def fetch(clip: dict, settings: Any, path: str) -> Outcome:
    """Bring a clip to `path`, where nothing else is ever seen; without a value, since the file has it.

    clip: a row with `video_id` and the segment in its address. settings: the section `download`.
    """
    start, end = map(float, clip["video"].rpartition("#t=")[2].split(","))
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix=".tmp-", dir=os.path.dirname(path)) as folder,
        _said(folder) as said,
    ):
        late = threading.Event()

        def stop() -> None:
            late.set()
            stop_children()

        clock = threading.Timer(settings.timeout, stop)
        clock.start()
        try:
            info = _download(clip["video_id"], start, end, Path(folder), settings, late)
            outcome = _look(Path(folder), start, end, info, said())
        except Exception as e:  # yt-dlp has many of its own, and passes on those of what it calls
            outcome = _reason(e, said())
        finally:
            clock.cancel()
        if late.is_set():
            outcome = failed("timeout", f"not done after {settings.timeout:g} s (download.timeout)")
        if outcome.status == OK:
            file = Path(outcome.value)
            with open(file, "rb+") as f:
                os.fsync(f.fileno())
                size = f.seek(0, os.SEEK_END)
            os.replace(file, path)
            outcome.value = None
            if settings.rate_limit:  # ffmpeg reads as fast as it can: so it rests until the mean is kept
                time.sleep(max(0.0, min(size / settings.rate_limit + began - time.monotonic(), LONGEST)))
        return outcome


def _download(
    video: str, start: float, end: float, folder: Path, settings: Any, late: threading.Event
) -> dict:
    import yt_dlp
    from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor
    from yt_dlp.utils import download_range_func

    # As yt-dlp's own command does: whether there is an ffmpeg at all it asks without its options.
    FFmpegPostProcessor._ffmpeg_location.set(ffmpeg.binary())

    def progress(state: dict) -> None:
        if late.is_set() or state.get("downloaded_bytes", 0) > LARGEST:
            raise yt_dlp.utils.DownloadCancelled("larger than any segment, or too slow")

    height = settings.height
    scale = ["-vf", f"scale=-2:'min({height},ih)':flags=area"]
    coded = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    bounded = ["-b:a", "128k", "-fs", str(LARGEST), "-t", f"{end - start:g}", "-f", "matroska"]
    options = {
        "format": _formats(height),
        "download_ranges": download_range_func(None, [(start, end)]),
        "force_keyframes_at_cuts": True,
        "ffmpeg_location": ffmpeg.binary(),
        "external_downloader_args": {
            # No file can be reached from what a server answers.
            "ffmpeg_i": [
                *("-rw_timeout", str(round(settings.stall * 1e6))),
                *("-max_pixels", str(ffmpeg.MAX_PIXELS)),
                *("-protocol_whitelist", "http,https,tcp,tls,crypto,httpproxy"),
            ],
            "ffmpeg": ["-nostdin", "-loglevel", "error", *scale, *coded, *bounded],
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
        "logger": _Silent(),
        "progress_hooks": [progress],
        "js_runtimes": _runtimes(),
    }
    if settings.cookies:  # a copy: yt-dlp writes its cookies back
        options["cookiefile"] = str(folder / "cookies.txt")
        shutil.copy(Path(settings.cookies).expanduser(), folder / "cookies.txt")
    with yt_dlp.YoutubeDL(options) as ydl:
        return ydl.extract_info(settings.url.replace("{id}", video), download=True) or {}


def _formats(height: int) -> str:
    """What to take of a video, in yt-dlp's words: plain HTTP first, which ffmpeg can seek in."""
    low = f"[height<=?{height}]"
    plain = f"{low}[protocol^=http]"
    return f"bv*{plain}+ba[protocol^=http]/b{plain}/bv*{low}+ba/b{low}/w"


def _look(folder: Path, start: float, end: float, info: dict, said: str) -> Outcome:
    """The file that came, as the outcome's value, or what is wrong with it."""
    info = next(iter(info.get("entries") or []), info)
    files = [p for p in folder.glob("clip.*") if p.suffix not in (".part", ".ytdl", ".temp")]
    if not files:
        return failed("network", f"nothing came: {said[-200:]}")
    asked = end - start
    if info.get("duration"):
        asked = max(min(end, float(info["duration"])) - start, 0.0)
    try:
        kinds, seconds = _measured(files[0])
    except av.FFmpegError as e:
        return failed("corrupt" if not said else "cut_short", f"{e.strerror}: {said[-200:]}")
    for kind, status in (("video", "no_video"), ("audio", "no_audio")):
        if kind not in kinds:
            return failed(status, f"no {'picture' if kind == 'video' else 'sound'} in what came")
    if files[0].stat().st_size >= LARGEST:
        return failed("refused", f"over {LARGEST >> 20} MB")
    if seconds < asked - max(SHORT, PART * asked) and (said or info.get("duration")):
        return failed("cut_short", f"{seconds:.1f} s of {asked:.1f} s came {said[-150:]}")
    if seconds <= 0:
        return failed("too_short", "the video ends before the segment begins")
    return Outcome(value=str(files[0]))


def _measured(path: Path) -> tuple[set[str], float]:
    """The kinds of streams that have packets, and how long the shortest lasts, s."""
    with av.open(ffmpeg.url(path), options=dict(ffmpeg.GUARD)) as file:
        ends: dict[str, float] = {}
        for packet in file.demux():
            if packet.pts is not None and packet.size:
                kind = packet.stream.type
                ends[kind] = max(
                    ends.get(kind, 0.0), float((packet.pts + (packet.duration or 0)) * packet.time_base)
                )
        lasting = [s for kind, s in ends.items() if kind in ("audio", "video")]
        return set(ends), min(lasting, default=0.0)


def _reason(error: Exception, said: str) -> Outcome:
    """What an error of yt-dlp, or of the ffmpeg that it calls, means."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR: ")
    own = text if "ffmpeg exited" not in text else f"{said[-400:]} {text}"
    return failed(meaning(own), own)


def meaning(text: str) -> str:
    """The status that a message stands for."""
    low = text.lower()
    return next((status for status, pattern in REASONS if re.search(pattern, low)), "network")


class _Silent:
    """yt-dlp's logger: what matters comes as an error."""

    def debug(self, message: str) -> None:
        pass

    info = warning = error = debug


@contextmanager
def _said(folder: str) -> Iterator[Any]:
    """What ffmpeg writes to this process's standard error, as a function that gives it."""
    path = Path(folder) / "said"
    kept = os.dup(2)
    with open(path, "wb") as f:
        os.dup2(f.fileno(), 2)
    try:
        yield lambda: " ".join(path.read_text(errors="replace").split())
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        with suppress(OSError):
            path.unlink()
