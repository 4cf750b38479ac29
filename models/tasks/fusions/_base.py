"""What every fusion promises."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Fusion(nn.Module, ABC):
    """Encoders, and how what they give becomes the input of a classifier's head.

    dim: of a vector. embeds: what there are vectors of: audio, video, or both (one vector).
    """

    dim: int
    embedding_names: tuple[str, ...]

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.modality = modality
        self.embedding_names = ("audio", "video") if modality == "both" else (modality,)

    @abstractmethod
    def first_layers(self) -> list[nn.Module]:
        """New layers of the head, from what `forward` gives to (batch, dim)."""

    @abstractmethod
    def embed_audio(self, x: Tensor) -> Tensor:
        """(batch, channels, freq, time) to (batch, dim)."""

    @abstractmethod
    def embed_video(self, x: Tensor) -> Tensor:
        """(batch, frames, height, width, 3) uint8 to (batch, dim)."""

    def embed(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """Windows to a vector (batch, dim) of each of `embedding_names`."""
        ask = {"audio": lambda: self.embed_audio(audio), "video": lambda: self.embed_video(video)}
        return {side: ask[side]() for side in self.embedding_names}

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Windows to the input of the head: the vectors of all `embedding_names`, side by side."""
        return torch.cat([*self.embed(audio, video).values()], dim=1)

    def without(self, side: str, audio: Tensor, video: Tensor) -> Tensor:
        """As `forward`, of a model of both modalities, without one of them: it is blank (zeros)."""
        return self(*(x * (name != side) for name, x in (("audio", audio), ("video", video))))


def normalize(x: Tensor) -> Tensor:
    """(batch, dim) to vectors of length 1, in single precision."""
    return F.normalize(x.float(), dim=1)
