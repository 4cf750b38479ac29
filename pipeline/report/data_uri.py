"""Pictures and sounds as data URIs, compressed so that pages with many of them stay small."""

import base64
import io
import wave

import av
import cv2
import numpy as np

MP3_BITS = 32_000  # per second; enough for speech and single instruments in mono
_MP3_RATES = (16_000, 22_050, 24_000)  # Hz: the sample rates of MP3 that sound best at 32 kb/s
_MP3_FRAME = 1152  # samples that libmp3lame encodes at once
_MAX_INT16 = 32767
_JPEG_QUALITY = 80  # of heatmaps and spectrograms
_SPECTROGRAM_PERCENTILES = (5, 99.8)  # of the values: drawn darkest and brightest


def encode_data_uri(media_type: str, content: bytes) -> str:
    """Return a data URI, with which HTML contains a file. media_type: such as "image/jpeg"."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def jpeg_uri(image: np.ndarray, max_side: int = 152, quality: int = 72) -> str:
    """Encode an RGB picture (H, W, 3) uint8 as a JPEG in a data URI.

    max_side: of the JPEG, in pixels; a larger picture is scaled down. quality: 0 to 100.
    """
    return encode_data_uri("image/jpeg", encode_jpeg(image, max_side, quality))


def encode_jpeg(image: np.ndarray, max_side: int, quality: int) -> bytes:
    """Encode an RGB picture (H, W, 3) uint8 as a JPEG.

    max_side: of the JPEG, in pixels; a larger picture is scaled down. quality: 0 to 100. Raises ValueError if
    the array is no such picture.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"a picture must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bgr = image[:, :, ::-1]
    _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()


def heatmap_uri(image: np.ndarray, values: np.ndarray, max_side: int = 224) -> str:
    """Draw a map over a picture in grey, brighter where its values are larger; return it as a data URI.

    image: RGB (H, W, 3) uint8. values: (h, w), in any range. max_side: of the result, in pixels.
    """
    from matplotlib import colormaps  # slow to import, and rarely needed

    low, high = float(values.min()), float(values.max())
    level: np.ndarray = (np.asarray(values, np.float32) - low) / max(high - low, 1e-9)
    level = cv2.resize(level, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    colour = colormaps["inferno"](level[..., 0])[..., :3] * 255
    grey = image.mean(2, keepdims=True)
    mixed = grey + 0.7 * level * (colour - grey)
    return jpeg_uri(mixed.round().clip(0, 255).astype(np.uint8), max_side, _JPEG_QUALITY)


def spectrogram_uri(values: np.ndarray, height: int = 160, width: int = 400) -> str:
    """Draw a spectrogram with low frequencies at the bottom; return it as a JPEG in a data URI.

    values: (freq, time), low frequencies first, in any range. height, width: of the JPEG, in pixels. Raises
    ValueError if the array is no spectrogram.
    """
    from matplotlib import colormaps  # slow to import, and rarely needed

    values = np.asarray(values, np.float32)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"a spectrogram must be (F, T), not {values.shape}")
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, _SPECTROGRAM_PERCENTILES) if finite.size else (0.0, 1.0)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    levels = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    levels = cv2.resize(levels[::-1], (width, height), interpolation=cv2.INTER_LINEAR)
    picture = (colormaps["magma"](levels)[:, :, :3] * 255).round().astype(np.uint8)
    return jpeg_uri(picture, max(height, width), _JPEG_QUALITY)


def decode_wav(content: bytes) -> tuple[np.ndarray, int]:
    """Decode a 16-bit WAV file: return mono samples (n,) float32 in -1..1 and the sample rate in Hz.

    Raises ValueError if the content is no such file.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            if file.getsampwidth() != 2:
                raise ValueError(f"a sound must be 16-bit WAV, not {8 * file.getsampwidth()}-bit")
            rate, channels = file.getframerate(), file.getnchannels()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    except (wave.Error, EOFError) as e:
        raise ValueError(f"a sound must be 16-bit WAV ({e})") from None
    return samples.reshape(-1, channels).mean(1, dtype=np.float32) / 32768, rate


def mp3_uri(samples: np.ndarray, rate: int, seconds: float) -> str:
    """Encode the beginning of a mono sound as an MP3 of 32 kb/s, and return it as a data URI.

    samples: (n,) float32 in -1..1. rate: of the samples, Hz. seconds: how much is encoded.
    """
    beginning = np.ascontiguousarray(samples[: max(1, round(seconds * rate))] * _MAX_INT16, np.float32)
    integers = beginning.clip(-_MAX_INT16 - 1, _MAX_INT16).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(integers[None], "s16p", "mono")
    frame.sample_rate = rate
    mp3_rate = rate if rate in _MP3_RATES else max(_MP3_RATES)
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"id3v2_version": "0", "write_xing": "0"}) as out:
        stream = out.add_stream("libmp3lame", rate=mp3_rate, layout="mono", format="s16p")
        stream.bit_rate = MP3_BITS
        resampler = av.AudioResampler("s16p", "mono", mp3_rate, frame_size=_MP3_FRAME)
        # None returns what the resampler, and then the encoder, still holds.
        for resampled in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(resampled))
        out.mux(stream.encode(None))
    return encode_data_uri("audio/mpeg", file.getvalue())


def waveform_path(samples: np.ndarray, bars: int = 44) -> str:
    """Return the waveform of a sound as an SVG path: `bars` vertical strokes, as long as its peaks are high.

    samples: (n,). The path lies in a box of width 2 * bars and height 40.
    """
    edges = np.linspace(0, len(samples), bars + 1).astype(int)
    peaks = np.array([np.abs(samples[a:b]).max(initial=0) for a, b in zip(edges, edges[1:], strict=False)])
    half = 1 + 18 * np.sqrt(peaks / max(peaks.max(), 1e-6))
    return "".join(f"M{2 * i + 1} {20 - h:.1f}v{2 * h:.1f}" for i, h in enumerate(half))
