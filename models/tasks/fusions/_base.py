"""The base class of fusions."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Fusion(nn.Module, ABC):
    """Encoders, and how their embeddings become the input of a classifier's head.

    dim: size of an embedding. embedding_names: the embeddings that there are: audio, video, or both (one
    vector).
    """

    dim: int
    embedding_names: tuple[str, ...]

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.modality = modality
        self.embedding_names = ("audio", "video") if modality == "both" else (modality,)

    @abstractmethod
    def first_layers(self) -> list[nn.Module]:
        """Create the first layers of the head, from the output of `forward` to (batch, dim)."""

    @abstractmethod
    def embed_audio(self, x: Tensor) -> Tensor:
        """Map (batch, channels, freq, time) to (batch, dim)."""

    @abstractmethod
    def embed_video(self, x: Tensor) -> Tensor:
        """Map (batch, frames, height, width, 3) uint8 to (batch, dim)."""

    def embed(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """Embed windows: a vector (batch, dim) for each of `embedding_names`."""
        functions = {"audio": lambda: self.embed_audio(audio), "video": lambda: self.embed_video(video)}
        return {side: functions[side]() for side in self.embedding_names}

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to the input of the head: all embeddings, concatenated."""
        return torch.cat([*self.embed(audio, video).values()], dim=1)

    def without(self, side: str, audio: Tensor, video: Tensor) -> Tensor:
        """Do as `forward`, for a model of both modalities, with zeros for the modality `side`."""
        return self(*(x * (name != side) for name, x in (("audio", audio), ("video", video))))


def normalize(x: Tensor) -> Tensor:
    """Scale (batch, dim) to vectors of length 1, in single precision."""
    return F.normalize(x.float(), dim=1)
