"""What training changes in a window without changing what it is: crop, flip, colour, loudness, masks.

After AVE-Net (arXiv 1712.06651, section 3.2) and, for the masks, SpecAugment (arXiv 1904.08779).
"""

import math

import cv2
import numpy as np

CROP = 0.6  # a crop's sides are at least this part of the picture's
BRIGHTNESS = 0.6, 1.4
SATURATION = 0.0, 1.6  # 0 is grey
LOUDNESS = 6.0  # dB up or down
MASK = 0.2  # a mask covers up to this part of freq, or of time
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

# What one decibel adds to a feature; features that are not logarithms are multiplied instead.
DECIBEL = {
    "mel": 1.0,
    "log_frequency": 1.0,
    "log_spectrogram": math.log(10) / 20,  # of a magnitude
    "fbank": math.log(10) / 10,  # of a power
}


def pictures(video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, frames, height, width, 3) uint8 to the same: one crop, flip and colour a window."""
    height, width = video.shape[2:4]
    out = np.empty_like(video)
    for i, frames in enumerate(video):
        scale = rng.uniform(CROP, 1)
        x, y = rng.random(2) * (1 - scale) * (width - 1, height - 1)
        where = np.array([[scale, 0, x], [0, scale, y]], np.float32)
        if rng.random() < 0.5:
            where[0] = -scale, 0, x + scale * (width - 1)
        brightness, saturation = rng.uniform(*BRIGHTNESS), rng.uniform(*SATURATION)
        colour = brightness * (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * LUMA)
        for j, frame in enumerate(frames):
            frame = cv2.warpAffine(
                frame, where, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
            out[i, j] = cv2.transform(frame, colour)  # clips to 0..255
    return out


def loudness(audio: np.ndarray, feature: str, rng: np.random.Generator) -> np.ndarray:
    """(n, channels, freq, time) to the same, louder or softer by up to LOUDNESS."""
    gain = rng.uniform(-LOUDNESS, LOUDNESS, (len(audio), 1, 1, 1)).astype(audio.dtype)
    if feature in DECIBEL:
        return audio + gain * audio.dtype.type(DECIBEL[feature])
    return audio * 10 ** (gain / 20)


def masks(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, channels, freq, time) to the same, a band of freq and a span of time set to the mean."""
    out = audio.copy()
    for x in out:
        mean = x.mean(dtype=np.float32)
        for axis in (1, 2):
            size = x.shape[axis]
            width = int(rng.random() * MASK * size)
            start = int(rng.random() * (size - width + 1))
            x[(slice(None),) * axis + (slice(start, start + width),)] = mean
    return out
