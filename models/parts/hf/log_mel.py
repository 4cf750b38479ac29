"""Log mel spectrograms in PyTorch, so that a batch is computed at once, on a GPU, and in an ONNX export."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LogMel(nn.Module):
    """Map samples (batch, time) to log mel spectrograms (batch, frames, bands), in single precision.

    window: (length,), of the analysis. hop_length: samples between two frames. n_fft: of the Fourier
    transform; shorter frames are padded with zeros. filters: (1 + n_fft // 2, bands), which map a power
    spectrum to bands. floor: the lowest power in a band.
    centred: frame t is centred at t * hop_length, with reflected samples at both ends, as in librosa;
    otherwise it begins there, and there are only whole frames, as in Kaldi. preemphasis: subtract the mean of
    each frame, and from each sample this part of the one before, as in Kaldi; None: neither.
    """

    def __init__(
        self,
        window: Any,
        hop_length: int,
        n_fft: int,
        filters: Any,
        floor: float,
        centred: bool = True,
        preemphasis: float | None = None,
    ) -> None:
        super().__init__()
        self.hop_length, self.floor = hop_length, floor
        self.centred, self.preemphasis = centred, preemphasis
        # The Fourier transform is a product with a matrix: ONNX Runtime's own loses three digits.
        window = torch.as_tensor(window, dtype=torch.float64)
        turns = torch.outer(torch.arange(len(window)), torch.arange(1 + n_fft // 2)) % n_fft
        angles = 2 * math.pi / n_fft * turns.double()  # (length, 1 + n_fft // 2)
        transform = window[:, None] * torch.cat([angles.cos(), -angles.sin()], dim=1)
        # A feature extractor's configuration says what they are: they are not in a model's weights.
        self.register_buffer("transform", transform.float(), persistent=False)
        self.register_buffer("filters", torch.as_tensor(filters, dtype=torch.float32), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Map samples (batch, time) to natural logarithms (batch, frames, bands)."""
        length = len(self.transform)
        if self.centred:
            samples = F.pad(samples, (length // 2, length // 2), mode="reflect")
        frames = samples.unfold(1, length, self.hop_length)  # (batch, frames, length)
        if self.preemphasis is not None:
            frames = frames - frames.mean(2, keepdim=True)
            previous_samples = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
            frames = frames - self.preemphasis * previous_samples
        real, imaginary = (frames @ self.transform).chunk(2, dim=2)
        power = real.square() + imaginary.square()  # (batch, frames, 1 + n_fft // 2)
        return (power @ self.filters).clamp(min=self.floor).log()
