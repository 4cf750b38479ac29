"""The task loudness: predict the level of a sound from its picture. A file for test_toy_task.py."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.tasks import tasks
from models.tasks._base import OnnxGraph, Task
from models.tasks._description import Description
from models.tasks._experiment import Experiment
from models.tasks._plan import Plan
from models.video import encoders
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.metrics.bootstrap import encode_groups, percentile_interval, resample_groups, round_finite

SCALE = 20.0  # dB


@dataclass(frozen=True, kw_only=True)
class LoudnessExperiment(Experiment):
    video_encoder: str = ""


@tasks.register
class Loudness(Task):
    """Predicts the mean level of a window's sound from its picture. The loss is the squared error."""

    experiment_type = LoudnessExperiment
    embedding_names = ("video",)

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        related = pairing.build_relation("clip", data.group, data.labels)

        def sampler(clips: np.ndarray, batch_size: int, seed: int, **options: Any) -> pairing.Sampler:
            return pairing.Sampler(clips, related, batch_size, seed, **options)

        return Plan({split: data.indices(split) for split in ("train", "val", "test")}, sampler)

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__(config, audio_shape, video_shape, train)
        sizes = config["encoders"]["video"]
        self.video = encoders.make(config["video_encoder"], video_shape, train.embedding_dim, **sizes)
        self.head = nn.Linear(train.embedding_dim, 1)
        self._errors: list[Tensor] = []

    def forward(self, video: Tensor) -> Tensor:
        """Map (B, frames, height, width, 3) uint8 to (B,) levels, divided by SCALE."""
        return self.head(self.video(video)).float().squeeze(1)

    def errors(self, audio: Tensor, video: Tensor) -> Tensor:
        return (self(video) - audio.float().mean((1, 2, 3)) / SCALE).square()

    def training_step(self, batch: dict[str, Tensor], number: int) -> dict[str, Any]:
        loss = self.errors(batch["audio"], batch["video"]).mean()
        return {"loss": loss, "logged_loss": loss.detach()}

    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        self._errors.append(self.errors(batch["audio"], batch["video"]))

    def finish_validation(self) -> None:
        self.val_metrics = {"val/loss": torch.cat(self._errors).mean().item()}
        self._errors.clear()

    def rank(self) -> list[float]:
        return [-self.val_metrics["val/loss"]]

    def embed_video(self, x: Tensor) -> Tensor:
        return F.normalize(self.video(x).float(), dim=1)

    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.embed_video(video)
        return embedding, embedding

    def extra_metrics(
        self, model: Any, data: Dataset, test_clips: np.ndarray, bootstrap: int, seed: int
    ) -> dict[str, dict[str, Any]]:
        audio, video = (torch.from_numpy(x) for x in data.read(test_clips))
        levels = audio.float().mean((1, 2, 3)) / SCALE
        with torch.inference_mode():
            errors = self.errors(audio, video).double().numpy()
        code, count = encode_groups(data.group[test_clips].tolist())
        weights = [w[:, code] for w in resample_groups(count, bootstrap, seed, width=len(test_clips))]
        section = {
            "squared_error": round_finite(errors.mean()),
            "n": len(test_clips),
            "ci": {"squared_error": percentile_interval([w @ errors / w.sum(1) for w in weights])},
            "chance": {"squared_error": round_finite(levels.var(correction=0).item())},
        }
        return {"loudness": section}

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        return replace(
            super().describe(config),
            question="How loud is it?",
            summary=f"{config['video_encoder']} for pictures, trained to predict the level of the sound",
            purpose="Predicts how loud a clip is from its picture.",
        )

    def onnx_graphs(self) -> dict[str, OnnxGraph]:
        return super().onnx_graphs() | {
            "loudness": OnnxGraph(self, self.forward, self.window_inputs("video"), "level")
        }
