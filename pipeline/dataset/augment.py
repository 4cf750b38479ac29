"""Augmentation of training windows: crop, flip, colour, loudness, masks, noise and roll.

After AVE-Net (arXiv 1712.06651, section 3.2); the masks after SpecAugment (arXiv 1904.08779).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from pipeline.media.feature_ranges import BYTES, DECIBEL

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue: ITU-R BT.601


@dataclass(frozen=True)
class Augment:
    """Augment batches of windows. The same seed gives the same result.

    feature: `audio.feature`. The other fields: the section `augment` of params.yaml.
    """

    feature: str
    crop: float
    flip: bool
    brightness: list[float]
    saturation: list[float]
    loudness: float
    mask_freq: float
    mask_time: float
    noise: float
    roll: bool

    def __call__(
        self, audio: np.ndarray, video: np.ndarray, seed: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return augmented copies of the same shapes and types.

        audio: (n, channels, freq, time). video: (n, frames, height, width, 3) uint8.
        """
        rng = np.random.default_rng(seed)
        audio = self.mask(self.vary_loudness(audio, rng), rng)
        video = self.augment_frames(video, rng)
        if self.noise:
            max_gain = rng.random((len(audio), 1, 1, 1), np.float32) * np.float32(self.noise)
            audio = self.add_gain(audio, rng.random(audio.shape, np.float32) * max_gain)
        if self.roll:
            shifts = rng.integers(audio.shape[3], size=len(audio))
            audio = np.stack([np.roll(x, shift, axis=2) for x, shift in zip(audio, shifts, strict=True)])
        return audio, video

    def augment_frames(self, video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Crop, flip and recolour each window; all frames of a window are treated the same."""
        height, width = video.shape[2:4]
        out = np.empty_like(video)
        for i, frames in enumerate(video):
            scale = rng.uniform(self.crop, 1)
            x, y = rng.random(2) * (1 - scale) * (width - 1, height - 1)
            crop = np.array([[scale, 0, x], [0, scale, y]], np.float32)  # affine map from output to input
            if rng.random() < 0.5 and self.flip:
                crop[0] = -scale, 0, x + scale * (width - 1)
            brightness = rng.uniform(self.brightness[0], self.brightness[1])
            saturation = rng.uniform(self.saturation[0], self.saturation[1])
            colour = brightness * (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * LUMA)
            for j, frame in enumerate(frames):
                frame = cv2.warpAffine(
                    frame, crop, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                )
                out[i, j] = cv2.transform(frame, colour)  # clips to 0..255
        return out

    def vary_loudness(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Make each window louder or softer by up to `loudness` dB."""
        return self.add_gain(audio, rng.uniform(-self.loudness, self.loudness, (len(audio), 1, 1, 1)))

    def add_gain(self, audio: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """Raise each value by `gain` (dB, broadcast against `audio`)."""
        if audio.dtype == np.uint8:
            low, high = BYTES[self.feature]
            steps = gain.astype(np.float32) * (DECIBEL[self.feature] * 255 / (high - low))
            return (audio + steps).round().clip(0, 255).astype(np.uint8)
        if self.feature in DECIBEL:
            steps = gain.astype(audio.dtype) * audio.dtype.type(DECIBEL[self.feature])
            # torch computes the same sums as NumPy; NumPy takes 36 times as long for float16.
            return torch.from_numpy(audio).add(torch.from_numpy(steps)).numpy()
        return audio * 10 ** (gain.astype(audio.dtype) / 20)

    def mask(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Set one band of frequencies and one span of time of each window to the window's mean."""
        out = audio.copy()
        for x in out:
            mean = x.mean(dtype=np.float32)
            for axis, max_share in ((1, self.mask_freq), (2, self.mask_time)):
                size = x.shape[axis]
                width = int(rng.random() * max_share * size)
                start = int(rng.random() * (size - width + 1))
                x[(slice(None),) * axis + (slice(start, start + width),)] = mean
        return out
