"""The base class of fusions."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Fusion(nn.Module, ABC):
    """Encoders, and how their embeddings become the input of the head, the last layers of a classifier.

    modality: what the classifier reads: audio, video or both. dim: size of an embedding. embedding_names: the
    embeddings that `embed` returns: `audio`, `video`, or `both`, one vector for sound and picture together.
    """

    dim: int
    embedding_names: tuple[str, ...]

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.modality = modality
        self.embedding_names = ("audio", "video") if modality == "both" else (modality,)

    @abstractmethod
    def make_first_layers(self) -> list[nn.Module]:
        """Create the first layers of the head, which map the output of `forward` to (batch, dim)."""

    @abstractmethod
    def embed_audio(self, x: Tensor) -> Tensor:
        """Map sounds (batch, channels, freq, time) to embeddings (batch, dim)."""

    @abstractmethod
    def embed_video(self, x: Tensor) -> Tensor:
        """Map pictures (batch, frames, height, width, 3) uint8 to embeddings (batch, dim)."""

    def embed(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """Map windows to embeddings: name -> (batch, dim), for each of `embedding_names` in their order."""
        embeddings = {}
        for modality in self.embedding_names:
            if modality == "audio":
                embeddings[modality] = self.embed_audio(audio)
            else:
                embeddings[modality] = self.embed_video(video)
        return embeddings

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to the input of the head: all embeddings, concatenated."""
        return torch.cat([*self.embed(audio, video).values()], dim=1)

    def forward_without(self, modality: str, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to the input of the head, with zeros for one modality, "audio" or "video".

        Only for a classifier of both modalities.
        """
        if modality == "audio":
            return self(audio * 0, video)
        return self(audio, video * 0)


def normalize(x: Tensor) -> Tensor:
    """Scale (batch, dim) to vectors of length 1, in single precision."""
    return F.normalize(x.float(), dim=1)
