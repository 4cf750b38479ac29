"""The task classification: predict the label of a clip from its sound, its picture, or both."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.tasks import _classes, tasks
from models.tasks._base import OnnxGraph, Rule, Task
from models.tasks._description import Description, describe_encoders, encoder_names
from models.tasks._experiment import PRETRAINED, Experiment
from models.tasks._plan import Plan
from models.tasks._verification import Trials
from models.tasks.fusions._base import Fusion, normalize
from models.tasks.fusions.concat import Concat
from models.tasks.fusions.joint import Joint
from models.tasks.fusions.stack import Stack
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError

# The report's headline, by `label` of params.yaml; other labels get DEFAULT_QUESTION.
QUESTIONS = {"subject": "Who is it?", "emotion": "What do they feel?"}
DEFAULT_QUESTION = "What is it?"
FUSIONS = {"concat": Concat, "stack": Stack}  # by `classification.fusion` of params.yaml


@dataclass(frozen=True, kw_only=True)
class ClassificationExperiment(Experiment):
    """The values of params.yaml that the task classification reads.

    audio_encoder, video_encoder: names of the encoders of one modality, empty if not used. classification:
    the section of that name.
    """

    audio_encoder: str = ""
    video_encoder: str = ""
    classification: dict[str, Any] = field(default_factory=dict)

    @property
    def initial_model_folder(self) -> str | None:
        """Return the folder of the model whose encoder training starts from; None: random weights.

        `classification.start` is `scratch` (random weights) or `pretrain` (the model of that stage); in older
        models also a folder. It applies only to an encoder of both modalities, and if there is no
        `train.start`.
        """
        start = self.classification.get("start", "scratch")
        if not self.encoder or start == "scratch":
            return None
        return PRETRAINED if start == "pretrain" else start

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        """Create the experiment that params.yaml describes.

        params: the content of params.yaml. changes: values of fields to use instead of those in `params`;
        `classification` may contain only some keys of that section.
        """
        section = params.classification.model_dump() | changes.get("classification", {})
        return super().from_params(params, **changes | {"classification": section})


@tasks.register
class Classification(Task):
    """A classifier: a fusion of encoders (models/tasks/fusions), and a head that maps its output to logits.

    config: the content of config.json. Read here: `modality`; `encoder`, `audio_encoder` and `video_encoder`,
    names; `encoders`, sizes that differ from their defaults; `classification`, the section of params.yaml;
    `statistics` of the features, needed by `encoder`; `classes`, names in the order of the logits; and
    `weights` in the loss, one for each class, or None.
    """

    experiment_type = ClassificationExperiment
    rules = (
        Rule({"classification.fusion": "stack"}, {"encoder": None}, "use classification.fusion: concat"),
        Rule(
            {"classification.start": "scratch", "train.start": None},
            {"classification.frozen": False},
            "a frozen encoder of random weights learns nothing",
        ),
    )
    evaluations = ("classes",)

    @classmethod
    def pretrains(cls, params: Any) -> bool:
        """Return whether the stage pretrain trains a model, which this task then starts from."""
        return params.classification.start == "pretrain" and params.train.start is None

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Choose the clips of each split, their classes and targets, and how to make batches of them."""
        return _classes.plan_classification(experiment, data)

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__(config, audio_shape, video_shape, train)
        self.settings = config["classification"]
        self.classes = tuple(config["classes"])
        self.multilabel = self.settings["multilabel"]
        self.fusion: Fusion
        if config.get("encoder"):
            self.fusion = Joint(config, audio_shape, video_shape)
        else:
            fusion_class = FUSIONS[self.settings["fusion"]]
            self.fusion = fusion_class(config, audio_shape, video_shape, train.embedding_dim)
        if getattr(getattr(self.fusion, "video", None), "has_map", False):
            raise UserError(
                f"video_encoder: {config['video_encoder']} gives a map of vectors: use it with task: matching"
            )
        self.embedding_names = self.fusion.embedding_names
        self.head = nn.Sequential(
            *self.fusion.make_first_layers(),
            nn.Dropout(self.settings["dropout"]),
            nn.Linear(self.fusion.dim, len(self.classes)),
        )
        # (classes,) or None. With one label for each clip, the weight of a class in the mean over clips; if
        # multilabel, the weight of a clip that has the class relative to one that does not (PyTorch's
        # `pos_weight`).
        weights = config["weights"]
        self.register_buffer("weights", None if weights is None else torch.tensor(weights), persistent=False)
        # Pairs of validation clips, if validation verifies people instead of predicting classes.
        self.trials: Trials | None = None
        # What validation collects, for each batch: (logits, target), or (clips, embeddings...) with trials.
        self._val_outputs: list[tuple[Tensor, ...]] = []

    @property
    def encoder(self) -> nn.Module | None:
        """Return the encoder of both modalities, if there is one."""
        return getattr(self.fusion, "encoder", None)

    @property
    def encoder_paths(self) -> dict[str, str]:
        """Return where the encoders are in the network: in the fusion."""
        attributes = {"audio": "audio", "video": "video", "joint": "encoder"}
        return {part: f"fusion.{name}" for part, name in attributes.items() if hasattr(self.fusion, name)}

    # --- from windows to logits ---------------------------------------------------------------------

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to logits (batch, classes).

        audio: (batch, channels, freq, time). video: (batch, frames, height, width, 3) uint8.
        """
        return self.head(self.fusion(audio, video)).float()

    def logits_without(self, modality: str, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to logits (batch, classes) without one modality, "audio" or "video".

        Only for a model of both modalities.
        """
        return self.head(self.fusion.forward_without(modality, audio, video)).float()

    def logits_of_other_modality(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map windows to logits (batch, classes) by the modality that the model was not trained on.

        Only for the fusion `stack` with one modality, which reads sounds as pictures.
        """
        return self.head(self.fusion.forward_other_modality(audio, video)).float()

    def embed_audio(self, x: Tensor) -> Tensor:
        """Map sounds (batch, channels, freq, time) to embeddings (batch, dim) of length 1."""
        return normalize(self.fusion.embed_audio(x))

    def embed_video(self, x: Tensor) -> Tensor:
        """Map pictures (batch, frames, height, width, 3) uint8 to embeddings (batch, dim) of length 1."""
        return normalize(self.fusion.embed_video(x))

    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Map windows of sound and picture to embeddings: two tensors (batch, dim) of vectors of length 1.

        If there is only one embedding (one modality, or one vector for both), it is returned twice.
        """
        embeddings = [normalize(x) for x in self.fusion.embed(audio, video).values()]
        return embeddings[0], embeddings[-1]

    # --- training -----------------------------------------------------------------------------------

    def compute_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch, one number: cross-entropy or, if multilabel, binary cross-entropy.

        logits: (batch, classes). target: (batch, classes), 0 to 1. The loss is the mean over clips or, if
        multilabel, over clips and classes.
        """
        smoothing = self.settings["label_smoothing"]
        if not self.multilabel:
            return F.cross_entropy(logits, target, weight=self.weights, label_smoothing=smoothing)
        # PyTorch has no label smoothing for this loss. As in CAV-MAE, with s the smoothing: targets of 1
        # become 1 - s, and targets of 0 become s / classes.
        target = target * (1 - smoothing) + (1 - target) * smoothing / target.shape[1]
        return F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.weights)

    def training_step(self, batch: dict[str, Tensor], _: int) -> dict[str, Tensor]:
        """Compute the loss of a batch, after mixing its clips if the setting `mixup` is not 0."""
        audio, video, target = batch["audio"], batch["video"], batch["target"]
        if self.settings["mixup"]:
            audio, video, target = self.mix_up(audio, video, target)
        loss = self.compute_loss(self(audio, video), target)
        return {"loss": loss, "logged_loss": loss.detach()}

    def mix_up(self, audio: Tensor, video: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Replace each clip by its weighted mean with a random other clip of the batch (arXiv 1710.09412).

        Returns sounds, pictures and targets with the shapes and types of the arguments. All three of a clip
        are mixed with the same weight, drawn from Beta(mixup, mixup). A fraction `mixup_rate` of the clips,
        drawn at random, is mixed, and the others keep their values.
        """
        alpha = torch.tensor(float(self.settings["mixup"]))
        weight = torch.distributions.Beta(alpha, alpha).sample((len(target),)).to(target.device)
        if self.settings["mixup_rate"] < 1:
            is_unmixed = torch.rand(len(target), device=target.device) >= self.settings["mixup_rate"]
            weight = weight.masked_fill(is_unmixed, 1.0)
        partners = torch.randperm(len(target), device=target.device)

        def mix(x: Tensor) -> Tensor:
            ratio = weight.view(-1, *[1] * (x.ndim - 1))  # (batch, 1, 1, ...), to multiply whole clips
            mixed = ratio * x.float() + (1 - ratio) * x[partners].float()
            return mixed if x.is_floating_point() else mixed.round().to(x.dtype)

        return mix(audio), mix(video), mix(target)

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Collect embeddings if people are verified, otherwise logits and targets."""
        if self.trials:
            embeddings = self.fusion.embed(batch["audio"], batch["video"]).values()
            self._val_outputs.append((batch["clip"], *map(normalize, embeddings)))
            return
        logits = self(batch["audio"], batch["video"])
        self._val_outputs.append((logits, batch["target"]))

    def finish_validation(self) -> None:
        """Set `val_metrics` from what the validation steps collected: an EER, or loss and metrics."""
        from torchmetrics.functional.classification import (  # slow: only training needs it
            multiclass_accuracy,
            multiclass_f1_score,
            multilabel_average_precision,
        )

        outputs = [torch.cat(tensors) for tensors in zip(*self._val_outputs, strict=True)]
        self._val_outputs.clear()
        if self.trials:
            clips, *vectors = (tensor.cpu().numpy() for tensor in outputs)
            embeddings = dict(zip(self.embedding_names, vectors, strict=True))
            self.val_metrics = {"val/eer": self.trials.equal_error_rate(clips, embeddings)}
            return
        logits, target = outputs
        self.val_metrics = {"val/loss": self.compute_loss(logits, target).item()}
        class_count = target.shape[1]
        if self.multilabel:
            # Average precision is undefined for classes without a validation clip.
            has_clips = target.sum(0) > 0
            scores = multilabel_average_precision(logits, target.long(), class_count, average=None)
            self.val_metrics["val/map"] = scores[has_clips].mean().item()
        else:
            class_indices = target.argmax(1)
            accuracy = multiclass_accuracy(logits, class_indices, class_count, average="micro")
            f1 = multiclass_f1_score(logits, class_indices, class_count, average="macro")
            self.val_metrics |= {"val/accuracy": accuracy.item(), "val/f1_macro": f1.item()}

    def prepare_validation(self, plan: Plan, val_clips: np.ndarray) -> None:
        """Take over the plan's trials: pairs of validation clips, or None if people are not verified."""
        self.trials = plan.trials

    def rank(self) -> list[float]:
        """Return how good this epoch is, larger is better: main metric, then negative loss for ties."""
        if self.trials:
            return [-self.val_metrics["val/eer"]]
        main_metric = self.val_metrics["val/map" if self.multilabel else "val/accuracy"]
        return [main_metric, -self.val_metrics["val/loss"]]

    # --- description and export ---------------------------------------------------------------------

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        """Describe the model whose config.json is `config`: what it predicts, from what, and its limits."""
        section, label, modality = config["classification"], config.get("label", ""), config["modality"]
        is_stack = section["fusion"] == "stack" and not config.get("encoder")
        if is_stack:
            names, network = _describe_stack(config)
            modalities: tuple[str, ...] = ("audio", "video") if modality == "both" else (modality,)
        else:
            names, network = encoder_names(config), describe_encoders(config)
            modalities = ()  # the names of the encoders say it
        common = Description.from_encoders(config, names)
        source = {"both": "sound and picture", "audio": "sound", "video": "picture"}[modality]
        class_count = len(config.get("classes", []))
        predicted = "labels" if section["multilabel"] else "label"
        activation = "sigmoid" if section["multilabel"] else "softmax"
        facts = {"Label": label, "Modality": modality, "Input": config["input"], "Fusion": section["fusion"]}
        return replace(
            common,
            question=QUESTIONS.get(label, DEFAULT_QUESTION),
            summary=f"{network}, trained to predict the {label}",
            facts=common.facts | facts,
            purpose=f"Predicts the {predicted} of a clip, of {class_count} classes, from its {source}.",
            example='print(model.classify("clip.mp4"))',
            settings=common.settings | {"classification": section, "label": label},
            limit="It predicts only labels that it was trained on, also for a clip that has none of them.",
            outputs=f"Embeddings have length 1. Logits become probabilities by {activation}.",
            pipeline_tag=f"{'audio' if modality == 'audio' else 'video'}-classification",
            title=(config["task"], *modalities, *names.values(), *([label] if label else [])),
        )

    def onnx_graphs(self) -> dict[str, OnnxGraph]:
        """Return the graphs of the embeddings, and `classifier`, which maps windows to logits."""
        inputs = self.window_inputs(self.modality)

        def compute_logits(*windows: Tensor) -> Tensor:
            # A model of one modality gets None for the other one, which it does not read.
            by_modality = dict(zip(inputs, windows, strict=True))
            return self(by_modality.get("audio"), by_modality.get("video"))

        return super().onnx_graphs() | {"classifier": OnnxGraph(self, compute_logits, inputs, "logits")}


def _describe_stack(config: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Describe the encoder of a model with the fusion `stack`: one image network for sounds and pictures.

    Returns {"video": its name}, and a phrase that says what it reads.
    """
    name = config["video_encoder"]
    phrases = {
        "both": "sounds and pictures on top of each other",
        "audio": "pictures of sounds",
        "video": "pictures",
    }
    return {"video": name}, f"an encoder {name} for {phrases[config['modality']]}"
