"""Pictures and sounds as data URIs, compressed so that pages with many of them stay small."""

import base64
import io
import wave

import av
import cv2
import numpy as np

MP3_BITS = 32_000  # per second; enough for speech and single instruments in mono
_RATES = (16_000, 22_050, 24_000)  # Hz: the rates of MP3 that sound best at 32 kb/s


def data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def jpeg(image: np.ndarray, side: int = 152, quality: int = 72) -> str:
    """Return `jpeg_bytes` as a data URI."""
    return data_uri("image/jpeg", jpeg_bytes(image, side, quality))


def jpeg_bytes(image: np.ndarray, side: int, quality: int) -> bytes:
    """Encode an RGB picture (H, W, 3) uint8 as a JPEG whose longer side is at most `side` pixels."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"a picture must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    scale = side / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(s * scale)) for s in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()


def heatmap(image: np.ndarray, values: np.ndarray, side: int = 224) -> str:
    """Return a map (h, w), scaled to 0..1, as an overlay on an RGB picture (H, W, 3) uint8."""
    from matplotlib import colormaps

    low, high = float(values.min()), float(values.max())
    level: np.ndarray = (np.asarray(values, np.float32) - low) / max(high - low, 1e-9)
    level = cv2.resize(level, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    colour = colormaps["inferno"](level[..., 0])[..., :3] * 255
    grey = image.mean(2, keepdims=True)
    mixed = grey + 0.7 * level * (colour - grey)
    return jpeg(mixed.round().clip(0, 255).astype(np.uint8), side, 80)


def spectrogram(values: np.ndarray, height: int = 160, width: int = 400) -> str:
    """Return a spectrogram (F, T), in any scale, low frequencies first, as a JPEG with them at the bottom."""
    from matplotlib import colormaps  # slow to import, and only needed here

    values = np.asarray(values, np.float32)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"a spectrogram must be (F, T), not {values.shape}")
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [5, 99.8]) if finite.size else (0.0, 1.0)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    levels = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    levels = cv2.resize(levels[::-1], (width, height), interpolation=cv2.INTER_LINEAR)
    picture = (colormaps["magma"](levels)[:, :, :3] * 255).round().astype(np.uint8)
    return jpeg(picture, side=max(height, width), quality=80)


def read_wav(content: bytes) -> tuple[np.ndarray, int]:
    """Decode 16-bit WAV: return mono samples (n,) float32 in -1..1 and the sample rate in Hz."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            if file.getsampwidth() != 2:
                raise ValueError(f"a sound must be 16-bit WAV, not {8 * file.getsampwidth()}-bit")
            rate, channels = file.getframerate(), file.getnchannels()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    except (wave.Error, EOFError) as e:
        raise ValueError(f"a sound must be 16-bit WAV ({e})") from None
    return samples.reshape(-1, channels).mean(1, dtype=np.float32) / 32768, rate


def mp3(samples: np.ndarray, rate: int, seconds: float) -> str:
    """Return the first `seconds` of a mono sound (n,) float32 at `rate` Hz as an MP3 of 32 kb/s."""
    head = np.ascontiguousarray(samples[: max(1, round(seconds * rate))] * 32767, np.float32)
    frame = av.AudioFrame.from_ndarray(head.clip(-32768, 32767).astype(np.int16)[None], "s16p", "mono")
    frame.sample_rate = rate
    target = rate if rate in _RATES else 24_000
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"id3v2_version": "0", "write_xing": "0"}) as out:
        stream = out.add_stream("libmp3lame", rate=target, layout="mono", format="s16p")
        stream.bit_rate = MP3_BITS
        resampler = av.AudioResampler("s16p", "mono", target, frame_size=1152)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return data_uri("audio/mpeg", file.getvalue())


def waveform(samples: np.ndarray, bars: int = 44) -> str:
    """Return the peaks of a sound over time as an SVG path: vertical strokes in a box of 2 x bars by 40."""
    edges = np.linspace(0, len(samples), bars + 1).astype(int)
    peaks = np.array([np.abs(samples[a:b]).max(initial=0) for a, b in zip(edges, edges[1:], strict=False)])
    half = 1 + 18 * np.sqrt(peaks / max(peaks.max(), 1e-6))
    return "".join(f"M{2 * i + 1} {20 - h:.1f}v{2 * h:.1f}" for i, h in enumerate(half))
