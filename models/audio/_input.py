"""What the audio encoders share."""

import torch
from torch import Tensor


def standardize(x: Tensor) -> Tensor:
    """(batch, channels, freq, time) to float, each channel of each input with mean 0 and deviation 1.

    Loudness and microphone gain, which vary from clip to clip and say nothing of the source, fall out, and an
    encoder serves all features (decibels, logarithms, bytes, real and imaginary parts) without constants.
    """
    x = x.float()
    std, mean = torch.std_mean(x, dim=(2, 3), keepdim=True, correction=0)
    return (x - mean) / (std + 1e-3)  # silence is constant, and stays near 0


def steps(x: Tensor) -> Tensor:
    """(batch, channels, freq, time), standardised, as a sequence: (batch, time, channels * freq)."""
    return standardize(x).permute(0, 3, 1, 2).flatten(2)
