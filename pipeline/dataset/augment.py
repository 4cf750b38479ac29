"""Augmentation of training windows: crop, flip, colour, loudness, masks, noise and roll.

After AVE-Net (arXiv 1712.06651, section 3.2); the masks after SpecAugment (arXiv 1904.08779).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from pipeline.media.feature_ranges import BYTES, DECIBEL, LEVEL_FREE

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue: ITU-R BT.601


@dataclass(frozen=True)
class Augment:
    """Augment batches of windows. The same seed gives the same result.

    The fields after `feature` are the section `augment` of params.yaml.
    """

    feature: str  # kind of audio features: `audio.feature` of params.yaml
    crop: float  # smallest crop of a frame, as a fraction of its height and width
    flip: bool  # whether half of the windows are mirrored
    brightness: list[float]  # lowest and highest factor
    saturation: list[float]  # lowest and highest factor; 0 is grey
    loudness: float  # dB: largest change of the loudness of a window, up or down
    mask_freq: float  # largest band of frequencies to mask, as a fraction of all
    mask_time: float  # largest span of time to mask, as a fraction of the window
    noise: float  # dB: each value of the features is raised by a random number, at most this one
    roll: bool  # whether each window is rotated in time: its end becomes its beginning

    def __call__(
        self, audio: np.ndarray, video: np.ndarray, seed: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return augmented copies of audio and video, of the same shapes and types.

        audio: (n, channels, freq, time). video: (n, frames, height, width, 3) uint8. Features of towers, (n,
        vectors, dim), are returned as they are. seed: of the random numbers.
        """
        rng = np.random.default_rng(seed)
        has_spectrograms, has_frames = audio.ndim > 3, video.ndim > 3
        if has_spectrograms:
            audio = self.mask(self.vary_loudness(audio, rng), rng)
        if has_frames:
            video = self.augment_frames(video, rng)
        if not has_spectrograms:
            return audio, video
        if self.noise:
            max_gain = rng.random((len(audio), 1, 1, 1), np.float32) * np.float32(self.noise)
            audio = self.add_gain(audio, rng.random(audio.shape, np.float32) * max_gain)
        if self.roll:
            shifts = rng.integers(audio.shape[3], size=len(audio))
            audio = np.stack(
                [np.roll(window, shift, axis=2) for window, shift in zip(audio, shifts, strict=True)]
            )
        return audio, video

    def augment_frames(self, video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Crop, flip and recolour each window at random; all frames of a window are treated the same.

        video: (n, frames, height, width, 3) uint8. Returns a new array of the same shape.
        """
        height, width = video.shape[2:4]
        out = np.empty_like(video)
        for i, frames in enumerate(video):
            scale = rng.uniform(self.crop, 1)
            x, y = rng.random(2) * (1 - scale) * (width - 1, height - 1)
            # Affine map from a pixel of the output to one of the input, which begins at (x, y).
            output_to_input = np.array([[scale, 0, x], [0, scale, y]], np.float32)
            # Draw the number even without flip: the other random numbers do not depend on the setting.
            if rng.random() < 0.5 and self.flip:
                output_to_input[0] = -scale, 0, x + scale * (width - 1)
            brightness = rng.uniform(self.brightness[0], self.brightness[1])
            saturation = rng.uniform(self.saturation[0], self.saturation[1])
            # Mixes each colour with the grey of the same luminance: saturation 1 leaves it, 0 gives the grey.
            colour_matrix = brightness * (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * LUMA)
            for j, frame in enumerate(frames):
                cropped = cv2.warpAffine(
                    frame, output_to_input, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                )
                out[i, j] = cv2.transform(cropped, colour_matrix)  # clips to 0..255
        return out

    def vary_loudness(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Make each window louder or softer by up to `loudness` dB.

        audio: (n, channels, freq, time). Returns a new array of the same shape.
        """
        return self.add_gain(audio, rng.uniform(-self.loudness, self.loudness, (len(audio), 1, 1, 1)))

    def add_gain(self, audio: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """Return the features of the same sound with a gain.

        audio: (n, channels, freq, time). gain: in dB, broadcast against `audio`.
        """
        if self.feature in LEVEL_FREE:
            return audio
        if audio.dtype == np.uint8:  # the range low..high is stored as 0..255
            low, high = BYTES[self.feature]
            steps = gain.astype(np.float32) * (DECIBEL[self.feature] * 255 / (high - low))
            return (audio + steps).round().clip(0, 255).astype(np.uint8)
        if self.feature in DECIBEL:
            steps = gain.astype(audio.dtype) * audio.dtype.type(DECIBEL[self.feature])
            # torch computes the same sums as NumPy; NumPy takes 36 times as long for float16.
            return torch.from_numpy(audio).add(torch.from_numpy(steps)).numpy()
        return audio * 10 ** (gain.astype(audio.dtype) / 20)

    def mask(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Set one band of frequencies and one span of time of each window to the window's mean.

        audio: (n, channels, freq, time). Returns a new array of the same shape.
        """
        masked = audio.copy()
        for window in masked:
            mean = window.mean(dtype=np.float32)
            # The samples of a waveform are no frequencies.
            mask_freq = 0 if self.feature == "waveform" else self.mask_freq
            freq_band = _random_slice(window.shape[1], mask_freq, rng)
            window[:, freq_band] = mean
            time_span = _random_slice(window.shape[2], self.mask_time, rng)
            window[:, :, time_span] = mean
        return masked


def _random_slice(size: int, max_fraction: float, rng: np.random.Generator) -> slice:
    """Return a random slice of an axis of `size` elements, at most `max_fraction` of it."""
    width = int(rng.random() * max_fraction * size)
    start = int(rng.random() * (size - width + 1))
    return slice(start, start + width)
