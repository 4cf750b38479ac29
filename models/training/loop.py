"""Training with Lightning's trainer, so that a killed training continues to the same weights, bit for bit.

All random numbers of an epoch come from the seed and the epoch's number: pairs, windows and augmentation, and
torch's generator, which is seeded at the start of each epoch. So the checkpoint to resume from needs no state
of a generator.
"""

import logging
import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from models import checkpoint
from models.device import choose_device
from models.tasks import tasks
from models.tasks._experiment import Experiment
from models.training.batches import Batches, ValidationSampler, make_loader
from models.training.callbacks import EpochAverage, ProgressBar
from models.training.checkpoint_file import CheckpointFile
from models.training.experiment import describe_features, window_shapes
from models.training.initial import Start, build_module, load_start, take_joint_sizes, transfer_weights
from models.training.lightning_task import LightningTask
from models.training.precision import lightning_precision
from models.training.recorder import Recorder, resumable_precision
from models.training.signals import interruptible
from pipeline.dataset.augment import Augment
from pipeline.dataset.dataset import Dataset
from pipeline.dataset.features import FeatureUse
from pipeline.errors import UserError
from pipeline.store import resume

if TYPE_CHECKING:
    from models.tasks._base import Task
    from models.tasks._plan import Plan
    from pipeline.config.train import AugmentParams, LearningParams


def train(
    experiment: Experiment,
    data: Dataset,
    *,
    settings: "LearningParams",
    augmentation: "AugmentParams",
    inputs: dict[str, Any],
    out: str | Path,
    curves: str | Path,
    fingerprint: str,
    start: Start | None = None,
) -> dict[str, Any]:
    """Train, choose the best epoch by validation, and write the model to `out` and its curves to `curves`.

    settings, augmentation: sections of params.yaml, `train` and `augment` or those of `pretraining`. inputs:
    the parameters on which the model's inputs depend, for config.json. out, curves: folders. fingerprint: a
    hash of parameters, data and code. An unfinished training with the same fingerprint, whose checkpoint is
    in the folder `resume`, is continued. start: the model whose weights the training starts from, if any.
    Returns a summary: `epochs`, `best_epoch` (from 1), and that epoch's metrics `train/loss`, `val/...`.
    Raises UserError if there are too few clips. After a KeyboardInterrupt the next call continues.
    """
    training = _prepare(
        experiment,
        data,
        settings=settings,
        inputs=inputs,
        curves=Path(curves),
        fingerprint=fingerprint,
        start=start,
    )
    Path(out).mkdir(parents=True, exist_ok=True)
    trainer = _fit(training, data, augmentation)
    if not trainer.is_global_zero:  # the first process continues alone
        sys.exit()
    return _finish(training, trainer, data, Path(out))


@dataclass(frozen=True)
class _Training:
    """A training that is ready for its first epoch.

    settings: the section of params.yaml with the settings of the training. plan: its clips, batches and
    targets. config: the content of config.json, without the result. module: the task with the weights to
    start from. recorder: records each epoch. average: averages the weights of several epochs; None: the
    model gets the weights of the best epoch. is_resumed: whether it continues an unfinished training.
    """

    experiment: Experiment
    settings: "LearningParams"
    plan: "Plan"
    config: dict[str, Any]
    module: "Task"
    recorder: Recorder
    average: EpochAverage | None
    is_resumed: bool


# --- before the first epoch ---------------------------------------------------------------------------


def _prepare(
    experiment: Experiment,
    data: Dataset,
    *,
    settings: "LearningParams",
    inputs: dict[str, Any],
    curves: Path,
    fingerprint: str,
    start: Start | None,
) -> _Training:
    """Plan the training, build the model, and find out whether there is an unfinished training to continue.

    The parameters are those of `train`. Raises UserError if the data, the model to start from, or this
    machine do not suit.
    """
    task = tasks.get(experiment.task)
    stage = task.stage
    plan = task.plan(experiment, data)
    config = make_config(experiment, settings, inputs, data)
    config |= plan.config_entries | {"fingerprint": fingerprint}
    initial = load_start(start, config) if start else None
    config = take_joint_sizes(config, initial)
    if torch.cuda.is_available() and settings.devices > torch.cuda.device_count():
        raise UserError(f"devices: {settings.devices}: this machine has {torch.cuda.device_count()} GPUs")
    checkpoint_file = CheckpointFile(resume.prepare_path(f"{stage}-{fingerprint}.ckpt"))
    resumed_precision = resumable_precision(checkpoint_file.path, fingerprint, stage)
    recorder = Recorder(
        checkpoint_file,
        stage=stage,
        settings=settings,
        seed=experiment.seed,
        precision=resumed_precision or lightning_precision(settings.precision),
        fingerprint=fingerprint,
        curves=curves,
    )
    module = build_module(config, settings, experiment.seed)
    is_resumed = resumed_precision is not None
    if start and initial:
        transfer = transfer_weights(module, config, initial, start, settings.start_weights == "encoders")
        if not is_resumed and rank_zero_only.rank == 0:
            print(f"{stage}: starts from {start.name}: {transfer.describe()}", flush=True)
    average = EpochAverage(*settings.average) if settings.average else None
    return _Training(experiment, settings, plan, config, module, recorder, average, is_resumed)


def make_config(
    experiment: Experiment, settings: "LearningParams", inputs: dict[str, Any], data: Dataset
) -> dict[str, Any]:
    """Return the entries of config.json that are known before the clips are chosen."""
    config = asdict(experiment) | {
        "train": settings.model_dump(),
        "inputs": inputs,
        **window_shapes(experiment, inputs, data),
    }
    config |= {"statistics": data.statistics} if experiment.encoder else {}
    features = describe_features(experiment, data)
    return config | ({"features": features} if features else {})


# --- the epochs ---------------------------------------------------------------------------------------


def _fit(training: _Training, data: Dataset, augmentation: "AugmentParams") -> lightning.Trainer:
    """Run the epochs that remain, and return Lightning's trainer. An interrupt raises KeyboardInterrupt."""
    with _hide_messages(), interruptible(), training.recorder as recorder:
        trainer = _make_trainer(training)
        loaders = _make_loaders(training, trainer, data, augmentation)
        path = recorder.checkpoint_file.path if training.is_resumed else None
        try:
            trainer.fit(LightningTask(training.module), *loaders, ckpt_path=path, weights_only=True)
        except SystemExit:  # Lightning turns a KeyboardInterrupt into it: turn it back
            raise KeyboardInterrupt from None
    return trainer


def _make_trainer(training: _Training) -> lightning.Trainer:
    """Make Lightning's trainer. It saves and prints nothing by itself: the recorder does that."""
    settings, recorder = training.settings, training.recorder
    nodes = int(os.environ.get("GROUP_WORLD_SIZE") or 1)  # from torchrun, on each of several machines
    callbacks: list[Callback] = [training.average] if training.average else []
    callbacks += [recorder, ProgressBar()] if sys.stdout.isatty() else [recorder]
    return lightning.Trainer(
        max_epochs=settings.epochs,
        precision=recorder.precision,
        accelerator="auto",
        devices=settings.devices,
        num_nodes=nodes,
        strategy="ddp_find_unused_parameters_true" if settings.devices * nodes > 1 else "auto",
        use_distributed_sampler=False,  # our samplers distribute whole batches among the processes
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip,  # the norm of all gradients
        logger=False,
        enable_checkpointing=False,  # the recorder saves checkpoints
        enable_model_summary=False,
        enable_progress_bar=sys.stdout.isatty(),
        num_sanity_val_steps=0,  # no validation before the first epoch
        log_every_n_steps=1,
        callbacks=callbacks,
        plugins=[recorder.checkpoint_file],
    )


def _make_loaders(
    training: _Training, trainer: lightning.Trainer, data: Dataset, augmentation: "AugmentParams"
) -> list[DataLoader]:
    """Make the loader of training batches and, if there are validation clips, that of their batches.

    This also tells the module the number of optimizer steps, and which clips validation measures.
    """
    plan, settings, module = training.plan, training.settings, training.module
    seed, inputs = training.experiment.seed, training.config["inputs"]
    sampler = plan.make_sampler(
        plan.clips["train"],
        settings.batch_size,
        seed,
        class_balanced=getattr(settings, "balanced", False),  # `pretraining.train` has no such key
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )
    augment = Augment(inputs["audio"]["feature"], **augmentation.model_dump())
    random_frames = inputs["video"]["training_frame"] == "random"
    features = FeatureUse.from_config(training.config)
    batches = Batches(data, augment, plan.targets, random_frames, features)
    loaders = [make_loader(batches, sampler, settings.loader_workers)]
    # Gradients of `accumulate` batches make one step.
    module.steps = settings.epochs * math.ceil(len(sampler) / settings.accumulate)
    val_clips = plan.clips["val"]
    if len(val_clips):
        val_sampler = ValidationSampler(plan.make_sampler(val_clips, settings.batch_size, seed))
        module.prepare_validation(plan, val_clips)
        val_batches = Batches(data, augmentation=None, targets=plan.targets, features=features)
        loaders.append(make_loader(val_batches, val_sampler, settings.loader_workers))
    else:
        print(
            f"{training.recorder.stage}: no validation clips: the model is that of the last epoch, and scores"
            " are not calibrated"
        )
    return loaders


@contextmanager
def _hide_messages() -> Iterator[None]:
    """Within a `with` block, hide messages and warnings of Lightning, DVCLive and PyTorch.

    They are about devices, tips and loaders, and do not help users. Errors are still shown.
    """
    names = ("lightning.pytorch", "lightning.fabric", "dvclive", "dvc")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning|torch.optim|torchmetrics")
            warnings.filterwarnings(
                "ignore", message=".*(isinstance|LeafSpec|num_workers|lr_scheduler.step).*"
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# --- after the last epoch -----------------------------------------------------------------------------


def _finish(training: _Training, trainer: lightning.Trainer, data: Dataset, out: Path) -> dict[str, Any]:
    """Give the model its final weights, calibrate and save it, and delete the checkpoint to resume from.

    The final weights are those of the best epoch or, if weights are averaged, the average. out: the model's
    folder. Returns a summary: `epochs`, `best_epoch` (from 1), and the metrics of that epoch by name.
    """
    module, recorder = training.module, training.recorder
    if training.average:
        # Lightning has called this already, except if it resumed from the last epoch. Twice does no harm.
        training.average.on_train_end(trainer, trainer.lightning_module)
    else:
        module.load_state_dict(recorder.best.weights)
    checkpoint.attach_towers(module)
    model = checkpoint.Model(module, training.config, choose_device())
    module.calibrate(model, data, training.plan.clips["val"])
    best_epoch = recorder.best_epoch  # from 0
    summary = {
        "epochs": len(recorder.history),
        "best_epoch": best_epoch + 1,
        **recorder.history[best_epoch],
    }
    checkpoint.save(out, module, training.config | {"chosen": summary, "history": recorder.history})
    resume.delete(recorder.checkpoint_file.path)
    return summary
