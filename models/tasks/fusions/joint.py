"""The fusion for an encoder of both modalities (models/joint)."""

from typing import Any

from torch import Tensor, nn

from models.joint import encoders
from models.tasks.fusions._base import Fusion


class Joint(Fusion):
    """One network reads both modalities, or one; a layer norm and a linear layer follow.

    config: in addition to what other fusions read, `statistics` of the features and `classification.frozen`.
    """

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple) -> None:
        super().__init__(config["modality"])
        shapes, sizes = (audio_shape, video_shape), config["encoders"]["joint"]
        self.encoder = encoders.make(config["encoder"], *shapes, config.get("statistics"), **sizes)
        self.encoder.requires_grad_(not config["classification"]["frozen"])
        self.dim = self.encoder.dim

    def first_layers(self) -> list[nn.Module]:
        return [nn.LayerNorm(self.dim)]

    def embed_audio(self, x: Tensor) -> Tensor:
        return self.encoder.embed_alone("audio", x)

    def embed_video(self, x: Tensor) -> Tensor:
        return self.encoder.embed_alone("video", x)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        return self.encoder(audio, video) if self.modality == "both" else super().forward(audio, video)

    def without(self, side: str, audio: Tensor, video: Tensor) -> Tensor:
        """Do as `forward` without the modality `side`, which the encoder itself handles."""
        other, x = ("video", video) if side == "audio" else ("audio", audio)
        return self.encoder.embed_without_other(other, x)
