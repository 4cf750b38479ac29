"""The fusion for an encoder of both modalities (models/joint)."""

from typing import Any

from torch import Tensor, nn

from models.joint import encoders
from models.tasks.fusions._base import Fusion


class Joint(Fusion):
    """One encoder that reads both modalities, or one of them; the head is a layer norm and a linear layer.

    config: the content of config.json. Read here: `modality`, `encoder`, its sizes `encoders.joint`,
    `statistics` (mean and standard deviation of the features), and `classification.frozen`, whether training
    leaves the encoder unchanged. audio_shape: (channels, freq, time). video_shape: (frames, height, width,
    3).
    """

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple) -> None:
        super().__init__(config["modality"])
        shapes, sizes = (audio_shape, video_shape), config["encoders"]["joint"]
        self.encoder = encoders.make(config["encoder"], *shapes, config.get("statistics"), **sizes)
        self.encoder.requires_grad_(not config["classification"]["frozen"])
        self.dim = self.encoder.dim

    def make_first_layers(self) -> list[nn.Module]:
        return [nn.LayerNorm(self.dim)]

    def embed_audio(self, x: Tensor) -> Tensor:
        return self.encoder.embed_alone("audio", x)

    def embed_video(self, x: Tensor) -> Tensor:
        return self.encoder.embed_alone("video", x)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to the input of the head, (batch, dim): one embedding of what the model reads."""
        return self.encoder(audio, video) if self.modality == "both" else super().forward(audio, video)

    def forward_without(self, modality: str, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to the input of the head without one modality, "audio" or "video".

        The encoder of both modalities can embed one alone, so that no zeros are needed.
        """
        if modality == "audio":
            return self.encoder.embed_without_other("video", video)
        return self.encoder.embed_without_other("audio", audio)
