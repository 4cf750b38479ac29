"""Media files for fuzzing: a valid file of each container, and mutations that break it.

All files are encoded in this process; a seed determines the mutations.
"""

import io
import os
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError

from pipeline.sources import people

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder prints much otherwise
FPS = 12
FRAMES = 14
SIZE = 176, 144  # H.263 allows few sizes
HEAD = 512  # bytes in which most headers lie
ABSURD = (
    0,
    1,
    2,
    0x7F,
    0xFF,
    0x7FFF,
    0x8000,
    8191,
    8192,
    0xFFFF,
    1 << 20,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)


class Kind(NamedTuple):
    """A container and its codecs. name: the file's folder. form: PyAV's muxer."""

    name: str
    extension: str
    form: str
    video: str | None = None
    audio: str | None = None
    pixels: str = "yuv420p"
    rate: int = 22050
    layout: str = "mono"
    size: tuple[int, int] = SIZE
    fps: int = FPS
    frames: int = FRAMES


KINDS = (
    Kind("flv", "flv", "flv", "flv1", "libmp3lame"),
    Kind("flv-h264", "f4v", "flv", "libx264", "aac"),
    Kind("mp4-h264", "mp4", "mp4", "libx264", "aac"),
    Kind("mp4-hevc", "mp4", "mp4", "libx265", "aac"),
    Kind("mp4-av1", "mp4", "mp4", "libsvtav1", "aac"),
    Kind("m4v", "m4v", "mp4", "mpeg4", "libmp3lame"),
    Kind("mov-mjpeg", "mov", "mov", "mjpeg", "pcm_s16le", "yuvj420p"),
    Kind("mov-prores", "mov", "mov", "prores_ks", "alac", "yuv422p10le", size=(256, 144)),  # whole slices
    Kind("mov-qtrle", "mov", "mov", "qtrle", "adpcm_ima_qt", "rgb24"),
    Kind("3gp", "3gp", "3gp", "h263", "libopencore_amrnb", rate=8000),
    Kind("3g2", "3g2", "3g2", "mpeg4", "aac"),
    Kind("matroska", "mkv", "matroska", "libx264", "libopus", rate=48000),
    Kind("matroska-ffv1", "mkv", "matroska", "ffv1", "flac"),
    Kind("webm-vp8", "webm", "webm", "libvpx", "libopus", rate=48000),
    Kind("webm-vp9", "webm", "webm", "libvpx-vp9", "libopus", rate=48000),
    Kind("avi", "avi", "avi", "mpeg4", "libmp3lame"),
    Kind("avi-mjpeg", "avi", "avi", "mjpeg", "pcm_u8", "yuvj422p"),
    Kind("avi-huffyuv", "divx", "avi", "huffyuv", "adpcm_ms", "yuv422p"),
    Kind("avi-msmpeg4", "avi", "avi", "msmpeg4", "ac3", rate=44100),
    Kind("avi-cinepak", "avi", "avi", "cinepak", "pcm_s16le", "rgb24"),
    Kind("wmv", "wmv", "asf", "wmv2", "wmav2", rate=44100),
    Kind("asf", "asf", "asf", "wmv1", "wmav1", rate=44100),
    Kind("mpeg-1", "mpg", "mpeg", "mpeg1video", "mp2", fps=25),
    Kind("mpeg-2", "vob", "mpeg", "mpeg2video", "ac3", rate=44100, fps=25),
    Kind("mpegts", "ts", "mpegts", "libx264", "aac"),
    Kind("mpegts-2", "m2ts", "mpegts", "mpeg2video", "mp2", fps=25),
    Kind("m2v", "m2v", "mpeg2video", "mpeg2video", fps=25),
    Kind("ogv", "ogv", "ogg", "libvpx", "vorbis", layout="stereo"),
    Kind("mxf", "mxf", "mxf", "mpeg2video", "pcm_s16le", rate=48000, fps=25),
    Kind("dv", "dv", "dv", "dvvideo", "pcm_s16le", "yuv420p", 48000, "stereo", (720, 576), 25, 6),
    Kind("gif", "gif", "gif", "gif", pixels="rgb8"),
    Kind("h264", "mp4", "h264", "libx264"),
    Kind("hevc", "mp4", "hevc", "libx265"),
    Kind("mpeg4", "m4v", "m4v", "mpeg4"),
    Kind("mjpeg", "avi", "mjpeg", "mjpeg", pixels="yuvj420p"),
    Kind("ivf", "webm", "ivf", "libvpx-vp9"),
    Kind("obu", "mkv", "obu", "libsvtav1"),
    Kind("nut", "mkv", "nut", "mpeg4", "libmp3lame"),
    Kind("gxf", "mxf", "gxf", "mpeg2video", "pcm_s16le", rate=48000, size=(720, 576), fps=25, frames=6),
    Kind("swf", "flv", "swf", "flv1", "libmp3lame"),
    Kind("rm", "avi", "rm", "rv10", "ac3", rate=44100),
    Kind("wtv", "asf", "wtv", "mpeg2video", "mp2", fps=25),
    Kind("yuv4mpeg", "avi", "yuv4mpegpipe", "wrapped_avframe"),
    Kind("apng", "png", "apng", "apng", pixels="rgb24"),
    Kind("avif", "webp", "avif", "libsvtav1", frames=1),
    Kind("wav", "wav", "wav", audio="pcm_s16le"),
    Kind("wav-adpcm", "wave", "wav", audio="adpcm_ima_wav"),
    Kind("wav-float", "wav", "wav", audio="pcm_f32le", layout="5.1"),
    Kind("w64", "w64", "w64", audio="pcm_s24le"),
    Kind("aiff", "aiff", "aiff", audio="pcm_s16be"),
    Kind("au", "au", "au", audio="pcm_mulaw"),
    Kind("caf", "caf", "caf", audio="alac"),
    Kind("flac", "flac", "flac", audio="flac"),
    Kind("mp3", "mp3", "mp3", audio="libmp3lame"),
    Kind("mp2", "mp2", "mp2", audio="mp2"),
    Kind("aac", "aac", "adts", audio="aac"),
    Kind("ac3", "ac3", "ac3", audio="ac3", rate=48000),
    Kind("eac3", "eac3", "eac3", audio="eac3", rate=48000),
    Kind("amr", "amr", "amr", audio="libopencore_amrnb", rate=8000),
    Kind("m4a", "m4a", "ipod", audio="aac", layout="stereo"),
    Kind("m4a-alac", "m4a", "ipod", audio="alac"),
    Kind("mka", "mka", "matroska", audio="vorbis", layout="stereo"),
    Kind("wma", "wma", "asf", audio="wmav2", rate=44100),
    Kind("ogg-vorbis", "ogg", "ogg", audio="vorbis", layout="stereo"),
    Kind("opus", "opus", "opus", audio="libopus", rate=48000),
    Kind("oga", "oga", "oga", audio="flac"),
    Kind("tta", "wav", "tta", audio="tta"),
    Kind("wv", "wav", "wv", audio="wavpack"),
    Kind("voc", "au", "voc", audio="pcm_u8"),
    Kind("sox", "au", "sox", audio="pcm_s32le"),
    Kind("ircam", "au", "ircam", audio="pcm_s16le"),
    Kind("adx", "wav", "adx", audio="adpcm_adx"),
    Kind("jpeg", "jpg", "image2pipe", "mjpeg", pixels="yuvj420p", frames=1),
    Kind("png", "png", "image2pipe", "png", pixels="rgb24", frames=1),
    Kind("png-16", "png", "image2pipe", "png", pixels="rgba64be", frames=1),
    Kind("bmp", "bmp", "image2pipe", "bmp", pixels="bgr24", frames=1),
    Kind("tiff", "tiff", "image2pipe", "tiff", pixels="rgb24", frames=1),
    Kind("webp", "webp", "webp", "libwebp", frames=1),
    Kind("webp-moving", "webp", "webp", "libwebp_anim"),
    Kind("ppm", "ppm", "image2pipe", "ppm", pixels="rgb24", frames=1),
    Kind("pgm", "pgm", "image2pipe", "pgm", pixels="gray", frames=1),
)


# --- valid files ---------------------------------------------------------------------------------------


def render_scene() -> tuple[list[np.ndarray], np.ndarray]:
    """Return FRAMES pictures (height, width, 3) uint8 of a synthetic face; sound (time,) float32, 48 kHz."""
    video = io.BytesIO(people.render("1001_DFA_HAP_HI", 0))
    with av.open(video) as container:
        frames = container.decode(video=0)
        width, height = SIZE
        pictures = [
            next(frames).reformat(width=width, height=height, format="rgb24").to_ndarray()
            for _ in range(FRAMES)
        ]
    t = np.arange(round(1.2 * 48000)) / 48000
    sound = 0.4 * np.sin(2 * np.pi * 330 * t * (1 + 0.1 * t)) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t))
    return pictures, sound.astype(np.float32)


@contextmanager
def keep_scheduling() -> Iterator[None]:
    """Undo what SVT-AV1 does as root: it makes this thread, and all processes that it starts, real-time ones.

    Those of a browser would then let nothing else run on this machine.
    """
    if not hasattr(os, "sched_getscheduler"):  # macOS
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


@keep_scheduling()
def encode_file(kind: Kind, pictures: list[np.ndarray], sound: np.ndarray) -> bytes:
    """Encode a file of this kind; raise av.FFmpegError or ValueError if an encoder or muxer is missing."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind.form, options={"fflags": "+bitexact"}) as out:
        video = audio = None
        if kind.video:
            options = {"threads": "1", "strict": "-2"}
            options |= {"x265-params": "log-level=none:pools=none"} if kind.video == "libx265" else {}
            options |= {"preset": "11", "crf": "40", "svtav1-params": "lp=1"} if "av1" in kind.video else {}
            options |= {"qp": "30"} if kind.video == "libx264" else {}
            options |= {"deadline": "realtime", "cpu-used": "8"} if kind.video.startswith("libvpx") else {}
            video = out.add_stream(kind.video, rate=kind.fps, options=options)
            video.width, video.height = kind.size
            video.pix_fmt = kind.pixels
            if kind.video != "dvvideo":
                video.gop_size = 6
            if kind.video not in ("dvvideo", "libx264", "libsvtav1", "prores_ks"):
                video.bit_rate = 300_000
        if kind.audio:
            audio = out.add_stream(kind.audio, rate=kind.rate, layout=kind.layout, options={"strict": "-2"})
            if not kind.audio.startswith("libopencore"):
                audio.bit_rate = 64_000
        packets = []
        if video:
            for k, picture in enumerate(pictures[: kind.frames]):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame = frame.reformat(width=kind.size[0], height=kind.size[1], format=kind.pixels)
                frame.pts, frame.time_base = k, Fraction(1, kind.fps)
                packets += video.encode(frame)
            packets += video.encode(None)
        if audio:
            packets += _encode_audio(audio, kind, sound[: round(48000 * max(kind.frames, FRAMES) / FPS)])
        packets = [p for p in packets if p.dts is not None or kind.form == "image2pipe"]
        for packet in sorted(packets, key=lambda p: (p.dts or 0) * p.time_base):
            out.mux(packet)
    return file.getvalue()


def _encode_audio(audio, kind: Kind, sound: np.ndarray) -> list:
    context = audio.codec_context
    context.open(strict=False)
    form = context.format.name
    resampler = av.AudioResampler(form, kind.layout, kind.rate, frame_size=context.frame_size or 1024)
    frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    packets = []
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        packets += audio.encode(part)
    return packets + audio.encode(None)


def encode_files(kinds: tuple[Kind, ...] = KINDS) -> dict[Kind, bytes]:
    """Encode a valid file of each kind."""
    pictures, sound = render_scene()
    return {kind: encode_file(kind, pictures, sound) for kind in kinds}


# --- mutations -----------------------------------------------------------------------------------------

Mutation = Callable[[bytes, random.Random, bytes], bytes]


def flip_bits(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Flip bits anywhere."""
    return _flip_bits(content, rng, len(content))


def flip_header_bits(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Flip bits among the first bytes."""
    return _flip_bits(content, rng, min(HEAD, len(content)))


def _flip_bits(content: bytes, rng: random.Random, end: int) -> bytes:
    mutant = bytearray(content)
    for _ in range(1 << rng.randrange(8)):
        mutant[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(mutant)


def cut_off(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Keep only the first part; sometimes only the last."""
    at = rng.randrange(1, len(content))
    return content[at:] if rng.random() < 0.25 else content[:at]


def splice(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Delete or repeat a part, or replace it, or everything after it, by bytes of another file."""
    a, b = sorted(rng.randrange(len(content)) for _ in range(2))
    c, d = sorted(rng.randrange(len(other)) for _ in range(2))
    return rng.choice(
        (
            content[:a] + content[b:],
            content[:b] + content[a:b] * rng.randrange(1, 4) + content[b:],
            content[:a] + other[c:d] + content[b:],
            content[:a] + other[c:],
        )
    )


def zero_header(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Set a part of the header to zeros."""
    start = rng.choice((0, rng.randrange(min(HEAD, len(content)))))
    length = min(1 << rng.randrange(2, 10), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def write_absurd_numbers(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Write impossible numbers (sizes, counts, offsets) into the header, or at the end, where some containers
    have it."""
    mutant = bytearray(content)
    for _ in range(rng.randrange(1, 5)):
        width = min(rng.choice((1, 2, 4, 4, 8)), len(mutant))
        at = rng.randrange(max(min(HEAD, len(mutant)) - width, 1))
        if rng.random() < 0.3:
            at = len(mutant) - width - at if len(mutant) - width - at >= 0 else at
        mutant[at : at + width] = _pack(rng.choice(ABSURD), width, rng.choice("<>"))
    return bytes(mutant)


def write_absurd_sizes(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Replace picture size, sample rate or frame count, wherever they occur, by absurd numbers."""
    facts = [v for kind in KINDS for v in (*kind.size, kind.rate)] + [FPS, FRAMES, 25]
    codes = {
        _pack(value, width, order): (width, order)
        for value in sorted(set(facts))
        for width in (2, 4)
        for order in "<>"
        if value >> 8 or width == 4
    }
    codes_in_content = sorted(code for code in codes if code in content)
    if not codes_in_content:
        return write_absurd_numbers(content, rng, other)
    mutant, common_value = content, rng.choice((None, rng.choice(ABSURD)))  # at times all of them the same
    for code in rng.sample(codes_in_content, min(len(codes_in_content), rng.randrange(1, 5))):
        width, order = codes[code]
        value = rng.choice(ABSURD) if common_value is None else common_value
        mutant = mutant.replace(code, _pack(value, width, order), rng.choice((1, 2, -1)))
    return mutant


def _pack(value: int, width: int, order: str) -> bytes:
    return struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[width], value & ((1 << 8 * width) - 1))


def swap_streams(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Move packets between the audio and the video stream; if that is impossible, swap parts of the file."""
    return _swap_packets(content, rng) or _swap_parts(content, rng)


def _swap_packets(content: bytes, rng: random.Random) -> bytes | None:
    mutant, share = io.BytesIO(), rng.uniform(0.1, 1.0)
    try:
        with av.open(io.BytesIO(content)) as source:
            if len(source.streams) < 2 or source.format.name.split(",")[0] not in MUXERS:
                return None
            form = MUXERS[source.format.name.split(",")[0]]
            with av.open(mutant, "w", format=form, options={"fflags": "+bitexact"}) as out:
                streams = [out.add_stream_from_template(s) for s in list(source.streams)[:2]]
                for packet in source.demux(*list(source.streams)[:2]):
                    if packet.dts is None:
                        continue
                    place = packet.stream.index
                    packet.stream = streams[1 - place if rng.random() < share else place]
                    try:
                        out.mux(packet)
                    except (FFmpegError, ValueError):
                        continue
    except (FFmpegError, ValueError, IndexError):
        return None
    return mutant.getvalue()


def _swap_parts(content: bytes, rng: random.Random) -> bytes:
    a, b, c, d = sorted(rng.randrange(len(content) + 1) for _ in range(4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


MUXERS = {"flv": "flv", "mov": "mov", "matroska": "matroska", "avi": "avi", "nut": "nut", "mpegts": "mpegts"}
MUTATIONS: dict[str, Mutation] = {
    "flipped bits": flip_bits,
    "flipped bits of the header": flip_header_bits,
    "cut off": cut_off,
    "spliced": splice,
    "zeroed header": zero_header,
    "absurd numbers": write_absurd_numbers,
    "absurd sizes and rates": write_absurd_sizes,
    "swapped streams": swap_streams,
}
