"""Headers and streams of huge sizes are refused at low cost."""

import json
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from app.decoder import Decoder
from pipeline.errors import UserError
from pipeline.media.ffmpeg import MAX_PIXELS
from pipeline.media.wav import write_wav
from testing.project import ROOT
from testing.recordings import AUDIO, record, sine
from tests.security.attempts import outcomes


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, body: bytes | None = None) -> bytes:
    """Return a PNG, RGBA, one byte a channel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = zlib.compress(bytes(100)) if body is None else body
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def valid_png(side: int) -> bytes:
    """Return a valid PNG of equal rows, which compress well."""
    compressor = zlib.compressobj(1)
    row = bytes(4 * side + 1)
    blocks = [compressor.compress(row * 64) for _ in range(side // 64)]
    return png(side, side, b"".join([*blocks, compressor.compress(row * (side % 64)), compressor.flush()]))


BOMBS = {
    "png": png(100_000, 100_000),
    "png of the largest numbers": png(2**31 - 1, 2**31 - 1),
    "png of 16,000": png(16_000, 16_000),
    "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0xF7, 0, 0) + bytes(768)
    + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x08\x04\x00\x01\x02\x03\x00;",
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 65500, 65500) + b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    + b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00" + bytes(64) + b"\xff\xd9",
    "webp": b"RIFF" + struct.pack("<I", 60) + b"WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2
    + b"VP8L" + struct.pack("<I", 20) + b"\x2f\xff\xff\xff\x0f" + bytes(15),
    "bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 200, 0, 54, 40, 100_000, 100_000, 1, 24, 0, 0, 0, 0, 0, 0)
    + bytes(100),
    "tiff": b"II*\0\x08\0\0\0\x05\0" + b"".join(
        struct.pack("<HHII", *field) for field in
        ((256, 4, 1, 100_000), (257, 4, 1, 100_000), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8))
    ) + bytes(64),
    "qoi and others": b"qoif" + struct.pack(">IIBB", 2**31, 2**31, 4, 0) + bytes(32),
}  # fmt: skip


def measure_frames_step(path: Path) -> dict:
    """Run `frames` in a process of its own; return status, detail, seconds (s) and memory (MB)."""
    code = (
        "import json, resource, sys, time\n"
        "from tests.pipeline.media.test_frames import step\n"
        "from pipeline.media.files import Media\n"
        "from testing.recordings import clip_row\n"
        "use = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "before, start = use(), time.monotonic()\n"
        "[o] = step()([clip_row()], [Media(None, sys.argv[1])])\n"
        "cost = {'s': time.monotonic() - start, 'MB': use() - before}\n"
        "print(json.dumps(cost | {'status': o.status, 'detail': o.detail}))\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True).stdout)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_picture_with_a_huge_size_is_refused(tmp_path, kind):
    path = tmp_path / "a.png"
    path.write_bytes(BOMBS[kind])
    start = time.monotonic()
    audio_outcome, video_outcome = outcomes(path)
    assert time.monotonic() - start < 5
    assert audio_outcome.status in ("no_audio", "corrupt", "refused") and video_outcome.status in (
        "corrupt",
        "refused",
    )
    if kind.startswith("png"):
        assert video_outcome.status == "refused" and "pixels are too many" in video_outcome.detail


def test_a_huge_picture_is_refused_before_decoding(tmp_path):
    """A file of 1.4 MB decodes to 324 MB: it is refused before decoding."""
    side = 9000
    assert side**2 > MAX_PIXELS
    (tmp_path / "a.png").write_bytes(valid_png(side))
    result = measure_frames_step(tmp_path / "a.png")
    assert result["status"] == "refused" and "9000 x 9000" in result["detail"]
    assert result["s"] < 2 and result["MB"] < 100


def sounds_with_wrong_headers() -> dict[str, bytes]:
    """Return sounds with impossible headers."""
    tone = write_wav((sine(1.0, rate=16000) * 32767).astype(np.int16), 16000)

    def patch_header(place: int, form: str, *values: int) -> bytes:
        content = bytearray(tone)
        struct.pack_into(form, content, place, *values)
        return bytes(content)

    endless = struct.pack(">4sIIIII", b".snd", 24, 2**32 - 1, 3, 2**31, 1) + bytes(1000)
    return {
        "size of 2^32": patch_header(4, "<I", 2**32 - 1)[:40] + struct.pack("<I", 2**32 - 1) + tone[44:],
        "no size": patch_header(40, "<I", 0),
        "rate of 2^32": patch_header(24, "<I", 2**32 - 1),
        "rate of 0": patch_header(24, "<I", 0),
        "65,535 channels": patch_header(22, "<H", 65535),
        "no channels": patch_header(22, "<H", 0),
        "no block": patch_header(32, "<H", 0),
        "65,535 bits": patch_header(34, "<H", 65535),
        "au without end": endless,
        "RF64": b"RF64\xff\xff\xff\xffWAVEds64"
        + struct.pack("<IQQQI", 28, 2**63, 2**63, 2**63, 0)
        + tone[12:],
    }


@pytest.mark.parametrize("kind", sounds_with_wrong_headers())
def test_a_sound_with_a_wrong_header_costs_little(tmp_path, kind):
    path = tmp_path / "a.wav"
    path.write_bytes(sounds_with_wrong_headers()[kind])
    start = time.monotonic()
    audio_outcome, video_outcome = outcomes(path)
    assert time.monotonic() - start < 10
    assert audio_outcome.status in ("ok", "corrupt", "too_short", "no_audio", "refused"), audio_outcome
    if audio_outcome.status == "ok":
        assert (
            audio_outcome.extra["seconds"] <= 4.0
            and len(audio_outcome.value) <= 44 + 2 * 4 * AUDIO.sample_rate
        )
    assert video_outcome.value is None


def test_a_video_with_an_endless_duration_costs_little(tmp_path):
    content = bytearray(record(tmp_path / "a.mov", 30, codec="mpeg4").read_bytes())
    for name in (b"mvhd", b"mdhd"):
        offset = content.index(name) + 20  # version, two times, the clock; then the duration
        content[offset : offset + 4] = b"\xff\xff\xff\xfe"
    (tmp_path / "a.mov").write_bytes(content)
    start = time.monotonic()
    outcome = outcomes(tmp_path / "a.mov")[1]
    assert outcome.status == "ok" and outcome.extra["seconds"] <= 4.0 and time.monotonic() - start < 10


def allocate_8_gb(config: dict, path: str, start: float) -> int:
    """Allocate 8 GB, in place of decoding."""
    return len(np.ones(8 << 30, np.uint8))


def test_the_decoder_of_the_page_has_a_memory_limit(tmp_path):
    (tmp_path / "a.png").write_bytes(BOMBS["png"])
    decoder = Decoder(tmp_path, workers=1, work=allocate_8_gb)
    try:
        with pytest.raises(UserError, match="a.png: the decoder crashed on it: .* needs too much memory"):
            decoder.read({"input": "frame", "inputs": {}}, tmp_path / "a.png")
    finally:
        decoder.close()
