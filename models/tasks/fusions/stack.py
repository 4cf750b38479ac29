"""The fusion `stack`: one image network for spectrograms and frames."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.audio._input import standardize
from models.tasks.fusions._base import Fusion
from models.video import encoders as video_encoders

MAX_DEVIATIONS = 3.0  # a spectrogram as an image shows values up to so many standard deviations from the mean


class Stack(Fusion):
    """Spectrograms as images, which become further colour channels of the frames; `video_encoder` reads both.

    With one modality, `video_encoder` reads only spectrograms as images, or only frames. Both have the same
    shape, so that such a network can also be applied to the modality that it was not trained on.

    config: the content of config.json. Read here: `modality`, `video_encoder` and its sizes `encoders.video`.
    audio_shape: not used. video_shape: (frames, height, width, 3). dim: size of an embedding.
    """

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, dim: int) -> None:
        super().__init__(config["modality"])
        self.dim = dim
        self.video_shape = tuple(video_shape)
        channels = 6 if self.modality == "both" else 3
        shape = (*video_shape[:3], channels)
        self.video = video_encoders.make(config["video_encoder"], shape, dim, **config["encoders"]["video"])
        if self.modality == "both":
            self.embedding_names = ("both",)

    def make_first_layers(self) -> list[nn.Module]:
        return [nn.ReLU()]

    def embed_audio(self, x: Tensor) -> Tensor:
        return self.video(self.spectrograms_to_images(x))

    def embed_video(self, x: Tensor) -> Tensor:
        return self.video(x)

    def embed(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """Map windows to embeddings: {"both": (batch, dim)}, or the same for the only modality."""
        if self.modality != "both":
            return super().embed(audio, video)
        images = self.spectrograms_to_images(audio).to(video.dtype)
        return {"both": self.video(torch.cat([video, images], dim=-1))}

    def forward_other_modality(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to the input of the head, (batch, dim), by the modality that it was not trained on.

        Only for a network of one modality.
        """
        return self.embed_video(video) if self.modality == "audio" else self.embed_audio(audio)

    def spectrograms_to_images(self, audio: Tensor) -> Tensor:
        """Convert spectrograms (batch, channels, freq, time) to grey images of the shape of the frames.

        Returns (batch, frames, height, width, 3), whole numbers from 0 to 255 as floats. An image shows the
        mean of the channels, standardized, with low frequencies at the bottom. All frames of a clip are
        equal.
        """
        frames, height, width, _ = self.video_shape
        images = standardize(audio).mean(1, keepdim=True).flip(2)  # (batch, 1, freq, time)
        images = F.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True)
        # -MAX_DEVIATIONS becomes 0, the mean 127.5, and MAX_DEVIATIONS 255.
        images = ((images / MAX_DEVIATIONS + 1) * 127.5).clamp(0, 255).round()
        return images.permute(0, 2, 3, 1)[:, None].expand(-1, frames, -1, -1, 3)
