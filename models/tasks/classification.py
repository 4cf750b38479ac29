"""The task classification: predict the label of a clip from its sound, its picture, or both."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_f1_score,
    multilabel_average_precision,
)

from models.tasks import _classes, tasks
from models.tasks._base import Part, Rule, Task
from models.tasks._description import Description, describe_encoders, encoders
from models.tasks._experiment import PRETRAINED, Experiment
from models.tasks._plan import Plan
from models.tasks._verification import Trials
from models.tasks.fusions._base import Fusion, normalize
from models.tasks.fusions.concat import Concat
from models.tasks.fusions.joint import Joint
from models.tasks.fusions.stack import Stack
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError

QUESTIONS = {"subject": "Who is it?", "emotion": "What do they feel?"}  # by label
FUSIONS = {"concat": Concat, "stack": Stack}


@dataclass(frozen=True, kw_only=True)
class ClassificationExperiment(Experiment):
    """classification: the section of the parameters."""

    audio_encoder: str = ""
    video_encoder: str = ""
    classification: dict[str, Any] = field(default_factory=dict)

    @property
    def start(self) -> str | None:
        start = self.classification.get("start", "scratch")
        if not self.encoder or start == "scratch":
            return None
        return PRETRAINED if start == "pretrain" else start

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        """Read the fields as Experiment does; `changes["classification"]` may set keys of its section."""
        section = params.classification.model_dump() | changes.get("classification", {})
        return super().from_params(params, **changes | {"classification": section})


@tasks.register
class Classification(Task):
    """A fusion of encoders (models/tasks/fusions), and a head that maps its output to logits.

    config: modality, encoder, audio_encoder, video_encoder, `encoders` (sizes that differ from their
    defaults), `classification` (the section of the parameters), `statistics` (of the features, for
    `encoder`), `classes` (names, in the order of the logits) and `weights` (one for each class, or None).
    """

    experiment_type = ClassificationExperiment
    rules = (
        Rule({"classification.fusion": "stack"}, {"encoder": None}, "use classification.fusion: concat"),
        Rule(
            {"classification.start": "scratch"},
            {"classification.frozen": False},
            "a frozen encoder of random weights learns nothing",
        ),
    )
    evaluations = ("classes",)

    @classmethod
    def pretrains(cls, params: Any) -> bool:
        return params.classification.start == "pretrain"

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        return _classes.plan(experiment, data)

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__(config, audio_shape, video_shape, train)
        self.settings, self.classes = config["classification"], tuple(config["classes"])
        self.multilabel = self.settings["multilabel"]
        self.fusion: Fusion
        if config.get("encoder"):
            self.fusion = Joint(config, audio_shape, video_shape)
        else:
            fusion = FUSIONS[self.settings["fusion"]]
            self.fusion = fusion(config, audio_shape, video_shape, train.embedding_dim)
        if getattr(getattr(self.fusion, "video", None), "has_map", False):
            raise UserError(
                f"video_encoder: {config['video_encoder']} gives a map of vectors: use it with task: matching"
            )
        self.embedding_names = self.fusion.embedding_names
        self.head = nn.Sequential(
            *self.fusion.first_layers(),
            nn.Dropout(self.settings["dropout"]),
            nn.Linear(self.fusion.dim, len(self.classes)),
        )
        weights = config["weights"]
        self.register_buffer("weights", None if weights is None else torch.tensor(weights), persistent=False)
        self._val_outputs: list[tuple[Tensor, ...]] = []
        self.trials: Trials | None = None  # of validation, for people who are not in the training split

    @property
    def encoder(self) -> nn.Module | None:
        """Return the encoder of both modalities, if there is one."""
        return getattr(self.fusion, "encoder", None)

    # --- from windows to logits ---------------------------------------------------------------------

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to logits (batch, classes)."""
        return self.head(self.fusion(audio, video)).float()

    def without(self, side: str, audio: Tensor, video: Tensor) -> Tensor:
        """Compute logits without the modality `side`, for a model of both modalities."""
        return self.head(self.fusion.without(side, audio, video)).float()

    def swapped(self, audio: Tensor, video: Tensor) -> Tensor:
        """Compute logits from the other modality, for a stacked network of one modality."""
        return self.head(self.fusion.swapped(audio, video)).float()

    def embed_audio(self, x: Tensor) -> Tensor:
        return normalize(self.fusion.embed_audio(x))

    def embed_video(self, x: Tensor) -> Tensor:
        return normalize(self.fusion.embed_video(x))

    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = [normalize(x) for x in self.fusion.embed(audio, video).values()]
        return embeddings[0], embeddings[-1]

    # --- training -----------------------------------------------------------------------------------

    def compute_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the cross-entropy or, if multilabel, binary cross-entropy: mean over clips (and classes).

        label_smoothing s: PyTorch's for one label; if multilabel, targets of 1 become 1 - s and targets of 0
        become s / classes, as in CAV-MAE.
        """
        smooth = self.settings["label_smoothing"]
        if self.multilabel:
            target = target * (1 - smooth) + (1 - target) * smooth / target.shape[1]
            return F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.weights)
        return F.cross_entropy(logits, target, weight=self.weights, label_smoothing=smooth)

    def training_step(self, batch: dict[str, Tensor], _: int) -> dict[str, Tensor]:
        audio, video, target = batch["audio"], batch["video"], batch["target"]
        if self.settings["mixup"]:
            audio, video, target = self.mix_up(audio, video, target)
        loss = self.compute_loss(self(audio, video), target)
        self.log("loss", loss, prog_bar=True, batch_size=len(target))
        return {"loss": loss, "logged_loss": loss.detach()}

    def mix_up(self, audio: Tensor, video: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mix each clip with another one, sound, picture and target by the same share (arXiv 1710.09412)."""
        alpha = torch.tensor(float(self.settings["mixup"]))
        share = torch.distributions.Beta(alpha, alpha).sample((len(target),)).to(target.device)
        if self.settings["mixup_rate"] < 1:
            is_unmixed = torch.rand(len(target), device=target.device) >= self.settings["mixup_rate"]
            share = share.masked_fill(is_unmixed, 1.0)
        partners = torch.randperm(len(target), device=target.device)

        def mix(x: Tensor) -> Tensor:
            ratio = share.view(-1, *[1] * (x.ndim - 1))
            mixed = ratio * x.float() + (1 - ratio) * x[partners].float()
            return mixed if x.is_floating_point() else mixed.round().to(x.dtype)

        return mix(audio), mix(video), mix(target)

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        if self.trials:
            sides = self.fusion.embed(batch["audio"], batch["video"]).values()
            self._val_outputs.append((batch["clip"], *map(normalize, sides)))
            return
        logits = self(batch["audio"], batch["video"])
        self._val_outputs.append((logits, batch["target"]))

    def on_validation_epoch_end(self) -> None:
        outputs = [torch.cat(x) for x in zip(*self._val_outputs, strict=True)]
        self._val_outputs.clear()
        if self.trials:
            clips, *sides = (x.cpu().numpy() for x in outputs)
            embeddings = dict(zip(self.embedding_names, sides, strict=True))
            self.val_metrics = {"val/eer": self.trials.eer(clips, embeddings)}
            return
        logits, target = outputs
        self.val_metrics = {"val/loss": self.compute_loss(logits, target).item()}
        count = target.shape[1]
        if self.multilabel:
            # Average precision is undefined for classes without a validation clip.
            has_clips = target.sum(0) > 0
            scores = multilabel_average_precision(logits, target.long(), count, average=None)
            self.val_metrics["val/map"] = scores[has_clips].mean().item()
        else:
            classes = target.argmax(1)
            accuracy = multiclass_accuracy(logits, classes, count, average="micro")
            f1 = multiclass_f1_score(logits, classes, count, average="macro")
            self.val_metrics |= {"val/accuracy": accuracy.item(), "val/f1_macro": f1.item()}

    def prepare_validation(self, plan: Plan, val: np.ndarray) -> None:
        """Set the trials of validation, if people are verified."""
        self.trials = plan.trials

    def rank(self) -> list[float]:
        """Return the main metric, then the loss for ties."""
        if self.trials:
            return [-self.val_metrics["val/eer"]]
        best = self.val_metrics["val/map" if self.multilabel else "val/accuracy"]
        return [best, -self.val_metrics["val/loss"]]

    # --- description and export ---------------------------------------------------------------------

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        section, label, modality = config["classification"], config.get("label", ""), config["modality"]
        stacked = section["fusion"] == "stack" and not config.get("encoder")
        names, network = _describe_stack(config) if stacked else (encoders(config), describe_encoders(config))
        common = Description.from_encoders(config, names)
        side = {"both": "sound and picture", "audio": "sound", "video": "picture"}[modality]
        count, labels = len(config.get("classes", [])), "labels" if section["multilabel"] else "label"
        facts = {"Label": label, "Modality": modality, "Input": config["input"], "Fusion": section["fusion"]}
        modalities = ({"both": ("audio", "video")}.get(modality, (modality,))) if stacked else ()
        return replace(
            common,
            question=QUESTIONS.get(label, "What is it?"),
            summary=f"{network}, trained to predict the {label}",
            facts=common.facts | facts,
            purpose=f"Predicts the {labels} of a clip, of {count} classes, from its {side}.",
            example='print(model.classify("clip.mp4"))',
            settings=common.settings | {"classification": section, "label": label},
            limit="It predicts only labels that it was trained on, also for a clip that has none of them.",
            outputs="Embeddings have length 1. Logits become probabilities by"
            f" {'sigmoid' if section['multilabel'] else 'softmax'}.",
            pipeline_tag=f"{'audio' if modality == 'audio' else 'video'}-classification",
            title=(config["task"], *modalities, *names.values(), *([label] if label else [])),
        )

    def onnx_parts(self) -> dict[str, Part]:
        """Return the embeddings, and `classifier`, which maps windows to logits."""
        inputs = self.windows(self.modality)

        def logits(*windows: Tensor) -> Tensor:
            sides = dict(zip(inputs, windows, strict=True))
            return self(sides.get("audio"), sides.get("video"))

        return super().onnx_parts() | {"classifier": Part(self, logits, inputs, "logits")}


def _describe_stack(config: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Return the encoder of a stack, and a phrase that says what it reads."""
    name = config["video_encoder"]
    inputs = {"both": "sounds and pictures on top of each other", "audio": "pictures of sounds"}
    return {"video": name}, f"an encoder {name} for {inputs.get(config['modality'], 'pictures')}"
