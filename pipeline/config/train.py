"""The sections `train`, `augment`, `pretraining` and `classification`."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.fields import Range, Section, check_ascending, one_of

Beta = Annotated[float, Field(ge=0, lt=1)]
EpochRange = Annotated[list[int], Field(min_length=2, max_length=2), AfterValidator(check_ascending)]


class AugmentParams(Section):
    """The section `augment` of params.yaml: random changes of the windows that training takes."""

    crop: float = Field(
        gt=0, le=1, description="smallest side of a random crop, as a share of the frame's; 1: none"
    )
    flip: bool = Field(description="flip half of the frames horizontally")
    brightness: Range = Field(description="random factor, from and to")
    saturation: Range = Field(description="random factor, from and to; 0 is grey")
    loudness: float = Field(ge=0, le=60, description="dB, up or down, at most")
    mask_freq: float = Field(
        ge=0, lt=1, description="SpecAugment: largest masked share of frequencies; 0: none"
    )
    mask_time: float = Field(ge=0, lt=1, description="SpecAugment: largest masked share of time; 0: none")
    noise: float = Field(ge=0, le=60, description="dB that each value is raised by, at most")
    roll: bool = Field(description="true: rotate the window in time by a random shift")


class LearningParams(Section):
    """The keys that the sections `train` and `pretraining.train` share."""

    epochs: int = Field(ge=1, le=100_000, description="one epoch takes one window of every training clip")
    batch_size: int = Field(ge=2, le=65_536, description="clips in a batch of each device")
    accumulate: int = Field(ge=1, le=65_536, description="batches whose gradients make one step")
    learning_rate: float = Field(gt=0, description="at its highest")
    weight_decay: float = Field(ge=0, description="of AdamW")
    betas: Annotated[list[Beta], Field(min_length=2, max_length=2)] = Field(description="of AdamW")
    warm_up: float = Field(ge=0, lt=1, description="share of all steps over which the learning rate rises")
    schedule: Annotated[str, one_of("cosine", "step")] = Field(
        description="cosine: fall to 0; step: times step_factor after step_start epochs, then each step_every"
    )
    step_start: int = Field(ge=1, description="schedule: step: epochs before the first step")
    step_every: int = Field(ge=1, description="schedule: step: epochs between further steps")
    step_factor: float = Field(
        gt=0, le=1, description="schedule: step: what the learning rate is multiplied by"
    )
    start: str | None = Field(
        min_length=1,
        description="a trained model to start from: a folder, a project, URL@revision or user/name "
        "(docs/fine_tuning.md); null: none",
    )
    start_weights: Annotated[str, one_of("all", "encoders")] = Field(
        description="what is taken from start: all weights that fit, or those of encoders alone"
    )
    layer_decay: float = Field(
        gt=0,
        le=1,
        description="learning rate of a block over that of the next one; cav_mae and encoders of libraries",
    )
    average: EpochRange | None = Field(
        description="[first, last]: average the weights of these epochs; null: take the best epoch"
    )
    patience: int | None = Field(
        ge=1,
        description="early stopping: end after so many epochs without a better one (val); null: never",
    )
    gradient_clip: float | None = Field(
        gt=0,
        description="largest norm of all gradients together; larger ones are scaled down; null: no limit",
    )
    gradient_checkpointing: bool = Field(
        description="less memory, activations are computed twice; cav_mae and encoders of libraries"
    )
    precision: Annotated[str, one_of("auto", "bf16-mixed", "16-mixed", "32-true")] = Field(
        description="auto: bf16-mixed where the device is fast in it, otherwise 32-true"
    )
    devices: int = Field(ge=1, le=1024, description="GPUs, or processes where there are none (DDP)")
    loader_workers: int = Field(
        ge=0, le=1024, description="processes that read batches; 0: the training process"
    )

    @model_validator(mode="after")
    def _check_average(self) -> "LearningParams":
        """Raise ValueError if epochs are to be averaged that training does not have."""
        if self.average and not 1 <= self.average[0] <= self.average[1] <= self.epochs:
            raise ValueError(f"average: {self.average}: first and last epoch, from 1 to {self.epochs}")
        if self.average and self.patience:
            raise ValueError("patience: an average needs all its epochs: set average or patience to null")
        return self


class TrainParams(LearningParams):
    """The section `train` of params.yaml: how the stage train trains."""

    head_factor: float = Field(
        gt=0, description="classification: learning rate of the last layers over that of the rest"
    )
    embedding_dim: int = Field(ge=1, le=8192, description="size of an embedding")
    balanced: bool = Field(
        description="class-balanced sampling; needs labels (pairing: category, or classification)"
    )


class PretrainingParams(Section):
    """The section `pretraining` of params.yaml: how CAV-MAE is pretrained without labels."""

    mask_ratio: float = Field(gt=0, lt=1, description="share of patches that are masked")
    mask: Annotated[str, one_of("random", "time", "frequency", "both")] = Field(
        description="how patches of a spectrogram are masked: at random, or whole columns, rows or both"
    )
    reconstruction: float = Field(ge=0, description="weight of the reconstruction loss")
    contrastive: float = Field(ge=0, description="weight of the contrastive loss")
    normalize_patches: bool = Field(
        description="reconstruct patches with mean 0 and deviation 1; false: they can be shown"
    )
    # The limit is MIN_TEMPERATURE of models/losses/infonce.py.
    temperature: float = Field(ge=0.01, description="of the contrastive loss")
    both_ways: bool = Field(description="contrastive loss from audio to video and back; false: one way only")
    train: LearningParams = Field(description="as the section train, for pretraining")
    augment: AugmentParams = Field(description="as the section augment, for pretraining")

    @model_validator(mode="after")
    def _check_loss_weights(self) -> "PretrainingParams":
        """Raise ValueError if both losses have the weight 0."""
        if not self.reconstruction + self.contrastive:
            raise ValueError("reconstruction and contrastive are both 0: nothing is left to learn")
        return self


class ClassificationParams(Section):
    """The section `classification` of params.yaml: how a classifier is built and trained."""

    fusion: Annotated[str, one_of("concat", "stack")] = Field(
        description="concat: an encoder for each modality; stack: both as channels, for video_encoder"
    )
    multilabel: bool = Field(
        description="true: any number of labels for a clip (BCE); false: one (cross-entropy)"
    )
    class_weights: bool = Field(description="true: rare classes count as much as frequent ones")
    label_smoothing: float = Field(
        ge=0, lt=1, description="share of the target that is spread over all classes"
    )
    mixup: float = Field(ge=0, le=100, description="alpha of mixup's Beta distribution; 0: no mixup")
    mixup_rate: float = Field(ge=0, le=1, description="share of clips that are mixed")
    dropout: float = Field(ge=0, lt=1, description="before the last layer")
    labels: float = Field(gt=0, le=1, description="share of the training clips whose labels are used")
    start: Annotated[str, one_of("pretrain", "scratch")] = Field(
        description="encoder: cav_mae starts from the stage pretrain, or scratch; train.start comes first"
    )
    frozen: bool = Field(description="true: linear probing, only the last layer is trained")
