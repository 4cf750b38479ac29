"""Towers: frozen networks of other libraries, whose outputs a stage computes once and stores."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.device import single_precision
from models.registry import Registry
from pipeline.dataset.windows import Segments

MIN_RMS = 1e-6  # is added to the root mean square of a vector: an output of zeros stays zeros
FROZEN = {"trainable": "none"}  # a keyword of all networks of other libraries


class Towers(nn.Module):
    """Several frozen networks on the same input. Their vectors are scaled and concatenated.

    Each vector is divided by its root mean square: so networks with large numbers do not outweigh others, and
    float16 can hold all of them. The direction of a vector, and so its cosine with others, stays.

    registry: of the encoders of one modality. networks: name -> keywords of its encoder. shape: of the
    windows, (channels, freq, time) or (frames, height, width, 3). segments: how sound is divided; None for
    pictures, whose frames are seen one by one.
    """

    def __init__(
        self,
        registry: Registry,
        networks: Mapping[str, dict[str, Any]],
        shape: tuple[int, ...],
        segments: Segments | None,
    ) -> None:
        super().__init__()
        self.segments = segments
        input_shape = (*shape[:2], segments.columns) if segments else (1, *shape[1:])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # random weights are the same in each process
            encoders = [
                registry.make(name, input_shape, 1, **keywords | FROZEN)
                for name, keywords in networks.items()
            ]
        for encoder in encoders:
            encoder.project = nn.Identity()  # only its vectors are used
        self.encoders = nn.ModuleList(encoders)
        self.requires_grad_(False)
        self.eval()

    @property
    def n_features(self) -> int:
        """The length of the concatenated vectors."""
        return sum(encoder.n_features for encoder in self.encoders)

    def train(self, mode: bool = True) -> "Towers":
        """Stay in evaluation mode: towers are frozen, also their batch norms."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, windows: Tensor) -> Tensor:
        """Map windows to features (batch, segments or frames, n_features), rounded to float16.

        windows: (batch, channels, freq, time), of which each segment is heard alone, or (batch, frames,
        height, width, 3) uint8, of which each frame is seen alone. The networks compute in single precision,
        also within mixed precision: their features are the stored ones.
        """
        if self.segments:
            segments = windows.unfold(3, self.segments.columns, self.segments.hop_columns)
            inputs = segments.permute(0, 3, 1, 2, 4)  # (batch, segments, channels, freq, time)
        else:
            inputs = windows[:, :, None]  # (batch, frames, 1, height, width, 3)
        with single_precision(inputs.device.type):
            vectors = [encoder.compute_features(inputs.flatten(0, 1)).float() for encoder in self.encoders]
        features = torch.cat([scale_to_rms(x) for x in vectors], dim=1).unflatten(0, inputs.shape[:2])
        return features.half().float()  # as the stored ones


def scale_to_rms(vectors: Tensor) -> Tensor:
    """Divide each of the vectors (n, dim) by its root mean square."""
    return vectors / (vectors.square().mean(1, keepdim=True).sqrt() + MIN_RMS)
