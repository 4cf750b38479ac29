"""The fusion `stack`: one image network for spectrograms and frames."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.audio._input import standardize
from models.tasks.fusions._base import Fusion
from models.video import encoders as video_encoders

RANGE = 3.0  # a spectrogram's picture shows values up to this many standard deviations from the mean


class Stack(Fusion):
    """Spectrograms as pictures, stacked on the channels of the frames, and `video_encoder` on all of them.

    With one modality it reads spectrograms, or frames, as its only input, and can be applied to either.
    """

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, dim: int) -> None:
        super().__init__(config["modality"])
        self.dim, self.frames = dim, tuple(video_shape)  # frames: shape of a sound's pictures
        shape = (*video_shape[:3], 6 if self.modality == "both" else 3)
        self.video = video_encoders.make(config["video_encoder"], shape, dim, **config["encoders"]["video"])
        if self.modality == "both":
            self.embedding_names = ("both",)

    def first_layers(self) -> list[nn.Module]:
        return [nn.ReLU()]

    def embed_audio(self, x: Tensor) -> Tensor:
        return self.video(self.pictures(x))

    def embed_video(self, x: Tensor) -> Tensor:
        return self.video(x)

    def embed(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        if self.modality != "both":
            return super().embed(audio, video)
        return {"both": self.video(torch.cat([video, self.pictures(audio).to(video.dtype)], dim=-1))}

    def swapped(self, audio: Tensor, video: Tensor) -> Tensor:
        """Do as `forward` with the modality that a network of one modality was not trained on."""
        return self.embed_video(video) if self.modality == "audio" else self.embed_audio(audio)

    def pictures(self, audio: Tensor) -> Tensor:
        """Convert spectrograms to grey pictures: (batch, frames, height, width, 3) of 0 to 255.

        They show the mean of the channels, standardized, with low frequencies at the bottom; all frames are
        equal.
        """
        frames, height, width, _ = self.frames
        x = standardize(audio).mean(1, keepdim=True).flip(2)
        x = F.interpolate(x, (height, width), mode="bilinear", align_corners=False, antialias=True)
        x = ((x / RANGE + 1) * 127.5).clamp(0, 255).round()
        return x.permute(0, 2, 3, 1)[:, None].expand(-1, frames, -1, -1, 3)
