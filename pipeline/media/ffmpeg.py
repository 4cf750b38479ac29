"""What ffmpeg's libraries may open, and the ffmpeg binary for what they do not do."""

import contextlib
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg

from pipeline.errors import UserError

# Demuxers that read one file and nothing else. What is not here is refused: playlists and everything
# else that names further files or devices (hls, dash, concat, image2, sdp, imf, lavfi, ...).
FORMATS = (
    "3dostr aa aac ac3 adx aiff alaw amr amrnb amrwb apng asf asf_o au av1 avi avs2 avs3 caf cavsvideo"
    " dirac dnxhd dts dtshd dv eac3 flac flv gif gxf h261 h263 h264 hevc iamf ircam ivf kux live_flv"
    " loas m4v matroska,webm mjpeg mlp mov,mp4,m4a,3gp,3g2,mj2 mp3 mpc mpc8 mpeg mpegts mpegvideo mulaw"
    " mxf nsv nut obu ogg oma rm sox swf tak truehd tta vc1 voc vvc w64 wav wtv wv yuv4mpegpipe"
    " avif_pipe bmp_pipe jpeg_pipe jpegxl_pipe pgm_pipe png_pipe ppm_pipe tiff_pipe webp_pipe"
)
MAX_PIXELS = 1 << 26  # 8192 x 8192: 100 to 400 MB decoded; larger pictures are refused
GUARD = {
    "format_whitelist": ",".join(FORMATS.split()),
    "protocol_whitelist": "file,pipe",
    # Opening a file decodes the first picture to see what it is: 2 GB, without this, of a file of 2 MB.
    "max_pixels": str(MAX_PIXELS),
}


def url(path: str | Path) -> str:
    """`path` as ffmpeg takes it: absolute and by protocol: no name is an option, a URL or a pattern."""
    return f"file:{os.path.abspath(path)}"


@functools.cache
def binary() -> str:
    """The ffmpeg to run: the one that the user names, else the newer of the system's and imageio-ffmpeg's.

    EARSIGHT_FFMPEG, or imageio-ffmpeg's own IMAGEIO_FFMPEG_EXE, names one. Raises UserError where it does not
    run, or where there is none.
    """
    for variable in ("EARSIGHT_FFMPEG", "IMAGEIO_FFMPEG_EXE"):
        if named := os.environ.get(variable):
            found = shutil.which(named)
            if found is None or not version(found):
                raise UserError(f"{variable}: {named} is not an ffmpeg that runs: correct it or unset it")
            return os.path.abspath(found)
    candidates = [shutil.which("ffmpeg")]
    with contextlib.suppress(RuntimeError):  # no binary for this platform: the system's may do
        candidates.insert(0, imageio_ffmpeg.get_ffmpeg_exe())
    best = max((c for c in candidates if c and version(c)), key=version, default=None)
    if best is None:
        raise UserError("ffmpeg: none found: install ffmpeg, or name one in EARSIGHT_FFMPEG")
    return best


@functools.cache
def version(path: str) -> tuple[int, ...]:
    """(major, minor) of an ffmpeg binary; empty where it does not run. A build from git is the newest."""
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
