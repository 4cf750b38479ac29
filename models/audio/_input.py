"""Input layers that audio encoders share."""

import torch
from torch import Tensor

SILENCE_STD = 1e-3  # is added to the standard deviation, so that silence stays near 0


def standardize(audio: Tensor) -> Tensor:
    """Scale each channel of each spectrogram to mean 0 and standard deviation 1, as float32.

    audio: (batch, channels, freq, time); the result has the same shape. This removes loudness and microphone
    gain, which say nothing about the source, and lets an encoder read all kinds of features: decibels,
    logarithms, bytes, real and imaginary parts.
    """
    audio = audio.float()
    std, mean = torch.std_mean(audio, dim=(2, 3), keepdim=True, correction=0)
    return (audio - mean) / (std + SILENCE_STD)


def to_sequence(audio: Tensor) -> Tensor:
    """Standardize spectrograms (batch, channels, freq, time), and return their columns as a sequence.

    The result is (batch, time, channels * freq).
    """
    return standardize(audio).permute(0, 3, 1, 2).flatten(2)
