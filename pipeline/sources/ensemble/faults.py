"""Clips with the faults that the stage `quality` finds, known by construction, and copies of other clips.

`data.ensemble.faults` sets their share. Nothing else in the synthetic data depends on this module.
"""

import cv2
import numpy as np

from pipeline.sources.ensemble.picture import HEIGHT, WIDTH
from pipeline.sources.ensemble.sound import RATE

SOUND_FAULTS = ("silent", "quiet", "clipped", "narrow")
PICTURE_FAULTS = ("still", "black", "letterboxed", "cuts")
COPIES = ("reencoded", "cropped", "trimmed", "quieter")  # of the nearest whole clip before
FAULTS = tuple(np.ravel([*zip(SOUND_FAULTS, PICTURE_FAULTS, COPIES, strict=True)]).tolist())  # in turn
CHANGED_PICTURES = ("black", "letterboxed", "cuts", "cropped")  # the boxes of the instruments do not apply

QUIET_LEVEL = 0.0025  # effective value of a quiet clip
CLIPPED_SHARE = 0.1  # of the samples of a clipped clip
NARROW_BANDWIDTH = 2500.0  # Hz
LETTERBOX_HEIGHT = 0.75  # of the picture between the bars
CROP = 0.85  # sides of a cropped copy, as a share of the original's
TRIMMED = 0.25  # of the original, from its beginning, that a trimmed copy lacks
QUIETER_GAIN = 10 ** (-10 / 20)
REENCODED_SCALE = 0.5  # sides of the picture of a re-encoded copy
REENCODED_RATES = (150_000, 32_000)  # bit/s of its picture and its sound


def change_sound(kind: str, waves: np.ndarray) -> np.ndarray:
    """Return the sound of a clip of this kind, made from the sound of a whole clip, (time,) float32."""
    match kind:
        case "silent":
            return np.zeros_like(waves)
        case "quiet":
            return waves * np.float32(QUIET_LEVEL / np.sqrt(np.mean(waves**2)))
        case "clipped":
            return np.clip(waves / np.quantile(np.abs(waves), 1 - CLIPPED_SHARE), -1, 1).astype(np.float32)
        case "narrow":
            spectrum = np.fft.rfft(waves)
            spectrum[np.fft.rfftfreq(len(waves), 1 / RATE) > NARROW_BANDWIDTH] = 0
            return np.fft.irfft(spectrum, len(waves)).astype(np.float32)
        case "trimmed":
            return waves[round(TRIMMED * len(waves)) :]
        case "quieter":
            return waves * np.float32(QUIETER_GAIN)
    return waves


def change_pictures(
    kind: str, frames: list[np.ndarray], others: list[np.ndarray], rng: np.random.Generator
) -> list[np.ndarray]:
    """Return the frames of a clip of this kind, made from those of a whole clip, uint8 RGB.

    others: the frames of another scene, which a clip with a cut shows from its middle on. rng: for the place
    of a cropped copy.
    """
    match kind:
        case "black":
            return [np.zeros_like(frame) for frame in frames]
        case "letterboxed":
            inside = round(LETTERBOX_HEIGHT * HEIGHT)
            bar = (HEIGHT - inside) // 2
            small = [cv2.resize(frame, (WIDTH, inside), interpolation=cv2.INTER_AREA) for frame in frames]
            return [cv2.copyMakeBorder(f, bar, bar, 0, 0, cv2.BORDER_CONSTANT, value=0) for f in small]
        case "cuts":
            return [*frames[: len(frames) // 2], *others[len(frames) // 2 :]]
        case "cropped":
            width, height = round(CROP * WIDTH), round(CROP * HEIGHT)
            left, top = rng.integers(WIDTH - width + 1), rng.integers(HEIGHT - height + 1)
            parts = [frame[top : top + height, left : left + width] for frame in frames]
            return [cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) for part in parts]
        case "trimmed":
            return frames[round(TRIMMED * len(frames)) :]
        case "reencoded":
            size = (round(REENCODED_SCALE * WIDTH), round(REENCODED_SCALE * HEIGHT))
            return [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    return frames
