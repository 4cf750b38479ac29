"""Input layers that audio encoders share."""

import torch
from torch import Tensor


def standardize(x: Tensor) -> Tensor:
    """Scale each channel of each input to mean 0 and standard deviation 1, in float.

    x: (batch, channels, freq, time). This removes loudness and microphone gain, which say nothing about the
    source, and lets an encoder read all features (decibels, logarithms, bytes, real and imaginary parts).
    """
    x = x.float()
    std, mean = torch.std_mean(x, dim=(2, 3), keepdim=True, correction=0)
    return (x - mean) / (std + 1e-3)  # the constant keeps silence near 0


def to_sequence(x: Tensor) -> Tensor:
    """Standardize (batch, channels, freq, time) as a sequence, (batch, time, channels * freq)."""
    return standardize(x).permute(0, 3, 1, 2).flatten(2)
