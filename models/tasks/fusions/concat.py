"""The fusion `concat`: an encoder for each modality, whose embeddings are concatenated."""

from typing import Any

from torch import Tensor, nn

from models.audio import encoders as audio_encoders
from models.tasks._experiment import make_encoder
from models.tasks.fusions._base import Fusion
from models.video import encoders as video_encoders


class Concat(Fusion):
    """Concatenated embeddings of sound and picture; the head is two linear layers with ReLU and dropout.

    For one modality there is one encoder, and the head has one linear layer.

    config: the content of config.json. Read here: `modality`, `audio_encoder`, `video_encoder` and
    `encoders`, their sizes. audio_shape: (channels, freq, time). video_shape: (frames, height, width, 3).
    dim: size of an embedding.
    """

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, dim: int) -> None:
        super().__init__(config["modality"])
        self.dim = dim
        if self.modality != "video":
            self.audio = make_encoder("audio", audio_encoders, config, audio_shape, dim)
        if self.modality != "audio":
            self.video = make_encoder("video", video_encoders, config, video_shape, dim)

    def make_first_layers(self) -> list[nn.Module]:
        reduction = [nn.Linear(2 * self.dim, self.dim)] if self.modality == "both" else []
        return [*reduction, nn.ReLU()]

    def embed_audio(self, x: Tensor) -> Tensor:
        return self.audio(x)

    def embed_video(self, x: Tensor) -> Tensor:
        return self.video(x)
