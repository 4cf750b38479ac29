"""What training changes in a window without changing what it is: crop, flip, colour, loudness, masks.

After AVE-Net (arXiv 1712.06651, section 3.2) and, for the masks, SpecAugment (arXiv 1904.08779).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from pipeline.media.feature_ranges import BYTES, DECIBEL

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Augment:
    """Training's changes to a batch, the same ones for the same seed.

    feature: `audio.feature`. The rest: the section `augment` of the parameters.
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
        """(n, channels, freq, time) and (n, frames, height, width, 3) uint8 to the same."""
        rng = np.random.default_rng(seed)
        audio = self.masked(self.louder(audio, rng), rng)
        video = self.pictures(video, rng)
        if self.noise:
            most = rng.random((len(audio), 1, 1, 1), np.float32) * np.float32(self.noise)
            audio = self.raised(audio, rng.random(audio.shape, np.float32) * most)
        if self.roll:
            starts = rng.integers(audio.shape[3], size=len(audio))
            audio = np.stack([np.roll(x, start, axis=2) for x, start in zip(audio, starts, strict=True)])
        return audio, video

    def pictures(self, video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One crop, flip and colour a window."""
        height, width = video.shape[2:4]
        out = np.empty_like(video)
        for i, frames in enumerate(video):
            scale = rng.uniform(self.crop, 1)
            x, y = rng.random(2) * (1 - scale) * (width - 1, height - 1)
            where = np.array([[scale, 0, x], [0, scale, y]], np.float32)
            if rng.random() < 0.5 and self.flip:
                where[0] = -scale, 0, x + scale * (width - 1)
            brightness = rng.uniform(self.brightness[0], self.brightness[1])
            saturation = rng.uniform(self.saturation[0], self.saturation[1])
            colour = brightness * (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * LUMA)
            for j, frame in enumerate(frames):
                frame = cv2.warpAffine(
                    frame, where, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                )
                out[i, j] = cv2.transform(frame, colour)  # clips to 0..255
        return out

    def louder(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Louder or softer by up to `loudness` dB."""
        return self.raised(audio, rng.uniform(-self.loudness, self.loudness, (len(audio), 1, 1, 1)))

    def raised(self, audio: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """Each value by so many dB; gain is broadcast."""
        if audio.dtype == np.uint8:
            low, high = BYTES[self.feature]
            steps = gain.astype(np.float32) * (DECIBEL[self.feature] * 255 / (high - low))
            return (audio + steps).round().clip(0, 255).astype(np.uint8)
        if self.feature in DECIBEL:
            steps = gain.astype(audio.dtype) * audio.dtype.type(DECIBEL[self.feature])
            # The same sums as NumPy's, which takes 36 times as long for halves.
            return torch.from_numpy(audio).add(torch.from_numpy(steps)).numpy()
        return audio * 10 ** (gain.astype(audio.dtype) / 20)

    def masked(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A band of freq and a span of time set to the mean."""
        out = audio.copy()
        for x in out:
            mean = x.mean(dtype=np.float32)
            for axis, most in ((1, self.mask_freq), (2, self.mask_time)):
                size = x.shape[axis]
                width = int(rng.random() * most * size)
                start = int(rng.random() * (size - width + 1))
                x[(slice(None),) * axis + (slice(start, start + width),)] = mean
        return out
