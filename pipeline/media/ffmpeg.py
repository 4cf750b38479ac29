"""Options that restrict what ffmpeg's libraries open, and the path of an ffmpeg binary."""

import contextlib
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg

from pipeline.errors import UserError

# Demuxers that read one file only. Others are refused: playlists and all formats that refer to other files or
# devices (hls, dash, concat, image2, sdp, imf, lavfi, ...).
FORMATS = (
    "3dostr aa aac ac3 adx aiff alaw amr amrnb amrwb apng asf asf_o au av1 avi avs2 avs3 caf cavsvideo"
    " dirac dnxhd dts dtshd dv eac3 flac flv gif gxf h261 h263 h264 hevc iamf ircam ivf kux live_flv"
    " loas m4v matroska,webm mjpeg mlp mov,mp4,m4a,3gp,3g2,mj2 mp3 mpc mpc8 mpeg mpegts mpegvideo mulaw"
    " mxf nsv nut obu ogg oma rm sox swf tak truehd tta vc1 voc vvc w64 wav wtv wv yuv4mpegpipe"
    " avif_pipe bmp_pipe jpeg_pipe jpegxl_pipe pgm_pipe png_pipe ppm_pipe tiff_pipe webp_pipe"
)
MAX_PIXELS = 1 << 26  # 8192 x 8192: 100 to 400 MB decoded; larger pictures are refused
GUARD = {  # options of ffmpeg's libraries for every file that is opened
    "format_whitelist": ",".join(FORMATS.split()),
    "protocol_whitelist": "file,pipe",
    # Opening a file decodes its first picture: without this limit, a file of 2 MB can take 2 GB of memory.
    "max_pixels": str(MAX_PIXELS),
}


def url(path: str | Path) -> str:
    """Return `path` as an absolute `file:` URL: no name can act as an option, another URL or a pattern."""
    return f"file:{os.path.abspath(path)}"


@functools.cache
def binary() -> str:
    """Return the path of the ffmpeg program to use.

    It is the user's choice (the environment variable EARSIGHT_FFMPEG, or imageio-ffmpeg's own
    IMAGEIO_FFMPEG_EXE), else the newer one of the system's and imageio-ffmpeg's. Raises UserError if the
    user's choice does not run, or if there is no ffmpeg.
    """
    for variable in ("EARSIGHT_FFMPEG", "IMAGEIO_FFMPEG_EXE"):
        if name := os.environ.get(variable):
            path = shutil.which(name)
            if path is None or not version(path):
                raise UserError(f"{variable}: {name} is not an ffmpeg that runs: correct it or unset it")
            return os.path.abspath(path)
    candidates = [shutil.which("ffmpeg")]
    with contextlib.suppress(RuntimeError):  # imageio-ffmpeg has no binary for this platform
        candidates.insert(0, imageio_ffmpeg.get_ffmpeg_exe())
    working = [path for path in candidates if path and version(path)]
    newest = max(working, key=version, default=None)  # of equal versions, imageio-ffmpeg's
    if newest is None:
        raise UserError("ffmpeg: not found: install ffmpeg, or set EARSIGHT_FFMPEG to its path")
    return newest


@functools.cache
def version(path: str) -> tuple[int, ...]:
    """Return (major, minor) of the ffmpeg program `path`.

    Return () if it does not run, and (999,), newer than any release, for a build from git.
    """
    try:
        text = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    if not text.startswith("ffmpeg version "):
        return ()
    number = re.match(r"ffmpeg version n?(\d+)\.(\d+)", text)
    return tuple(map(int, number.groups())) if number else (999,)
