"""Record a training: curves, the best epoch (see best_epoch.py), and the checkpoint to resume from."""

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from dvclive import Live
from lightning.pytorch.callbacks import Callback

from models.training.best_epoch import BestEpoch
from models.training.checkpoint_file import CheckpointFile
from models.training.curves import log_history, start_live
from models.training.lightning_task import LightningTask
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config.train import LearningParams

# Largest fraction of the time that is spent on writing checkpoints. If writing takes long and epochs are
# short, only some epochs are written.
MAX_SAVING = 0.02


class Recorder(Callback):
    """Measure each epoch, keep the weights of the best, write the curves and the checkpoint to resume from.

    Lightning calls its methods `on_...` during training. Lightning's ModelCheckpoint is not used: it writes a
    separate file at every better epoch, compares one number, and prefers the earlier of equal epochs. Here
    the best weights are in the same file as the checkpoint to resume from, so that a kill never leaves one
    without the other.

    checkpoint_file: keeps and writes the checkpoint. stage: the stage's name in dvc.yaml, for messages.
    settings: the section of params.yaml with the settings of the training. seed: of the experiment.
    precision: Lightning's name of it. fingerprint: a hash of parameters, data and code: only a training with
    the same one can continue from the checkpoint. curves: the folder to write the curves to.
    """

    def __init__(
        self,
        checkpoint_file: CheckpointFile,
        *,
        stage: str,
        settings: "LearningParams",
        seed: int,
        precision: str,
        fingerprint: str,
        curves: Path,
    ) -> None:
        self.checkpoint_file = checkpoint_file
        self.stage = stage
        self.settings = settings
        self.seed = seed
        self.precision = precision
        self.fingerprint = fingerprint
        self.curves = curves
        self.history: list[dict[str, float]] = []  # metrics of each finished epoch, by name
        self.best = BestEpoch()  # the best epoch so far
        self.live: Live | None = None  # writes the curves; None in all processes but the first
        self.last_save = 0.0  # time.monotonic() after the checkpoint was last written
        self.save_seconds = 0.0  # how long that took
        # Of the present epoch: name of a loss or metric -> its mean and number of clips for each batch.
        self.batch_means: dict[str, list[tuple[float, int]]] = {}

    @property
    def best_epoch(self) -> int:
        """Return the number (from 0) of the epoch whose metrics describe the final model.

        That is the best epoch or, if the weights of several epochs are averaged, the last one of these.
        """
        if self.settings.average:
            _, last_epoch = self.settings.average  # from 1
            return last_epoch - 1
        return self.best.epoch

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, error_type: type | None, *_: object) -> None:
        """Close the curves. After an error or interrupt, write the last checkpoint, if not written yet."""
        if self.live:
            self.live.end()
        if error_type:
            self.checkpoint_file.write()

    def state_dict(self) -> dict[str, Any]:
        """Return what Lightning's checkpoint should contain of this recorder. Lightning calls it."""
        return {
            "fingerprint": self.fingerprint,
            "precision": self.precision,
            "history": self.history,
            "best": vars(self.best),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned. Lightning calls it when it resumes from a checkpoint."""
        self.history, self.best = state["history"], BestEpoch(**state["best"])

    def on_fit_start(self, trainer: lightning.Trainer, module: LightningTask) -> None:
        """Start the curves and the clock. If training resumes, write the curves of its first epochs again.

        Lightning has loaded the checkpoint by now, and `history` with it.
        """
        self.live = start_live(self.curves) if trainer.is_global_zero else None
        self._write_curves()
        if self.history:
            epochs = f"epoch {len(self.history)} of {self.settings.epochs}"
            print(f"{self.stage}: resuming after {epochs}", flush=True)
        # For the estimate of the remaining time.
        self.start_time = time.monotonic()
        self.start_epoch = len(self.history)

    def on_train_start(self, trainer: lightning.Trainer, module: LightningTask) -> None:
        """Train no further epoch if the training that is resumed had stopped early."""
        trainer.should_stop = self._has_stopped()

    def on_fit_end(self, trainer: lightning.Trainer, module: LightningTask) -> None:
        """Add the metrics of the best epoch to the curves."""
        if self.live:
            log_history(self.live, self.history, self.stage, best=self.best_epoch + 1)

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: LightningTask) -> None:
        """Seed PyTorch's generator, so that the epoch's random numbers do not depend on earlier epochs."""
        self.batch_means.clear()
        # In distributed training, each process gets different random numbers.
        process_number = [trainer.global_rank] if trainer.global_rank else []
        seed = (self.seed, trainer.current_epoch, *process_number)
        torch.manual_seed(int(np.random.default_rng(seed).integers(2**62)))

    def on_train_batch_end(self, trainer, module, outputs: dict, batch: dict, batch_idx: int) -> None:
        """Collect the losses and metrics of a batch. outputs: what Task.training_step returned."""
        clip_count = len(batch["clip"])
        means = {"loss": outputs["logged_loss"]} | outputs.get("logged_metrics", {})
        for name, mean in means.items():
            self.batch_means.setdefault(name, []).append((float(mean), clip_count))

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: LightningTask) -> None:
        """Add the epoch to the history and the curves, update the best epoch, and save the checkpoint."""
        epoch = trainer.current_epoch
        metrics = self._compute_metrics(trainer, module)
        self.history.append(metrics)
        self.best.update(epoch, module.task)
        trainer.should_stop = self._has_stopped()
        self._write_curves()
        self._save_checkpoint(trainer, epoch)
        self._print_epoch(epoch, metrics)  # last: an epoch that was printed is not lost at an interrupt

    def _has_stopped(self) -> bool:
        """Return whether `patience` epochs have passed since the best one.

        Lightning's EarlyStopping is not used: it compares one number, and BestEpoch several, and the epoch
        that it counts from must be the one whose weights are kept.
        """
        patience = self.settings.patience
        return patience is not None and len(self.history) > self.best.epoch + patience

    def _compute_metrics(self, trainer: lightning.Trainer, module: LightningTask) -> dict[str, float]:
        """Compute the metrics of the epoch, by name: means over training clips, and those of validation.

        Raises UserError if the loss is not finite.
        """
        means = {}
        for name, batches in self.batch_means.items():
            total = sum(batch_mean * clip_count for batch_mean, clip_count in batches)
            means[name] = total / sum(clip_count for _, clip_count in batches)
        if trainer.world_size > 1:  # means over all processes, so that all choose the same best epoch
            reduced = trainer.strategy.reduce(torch.tensor(list(means.values()), device=module.device))
            means = dict(zip(means, reduced.tolist(), strict=True))
        if not math.isfinite(means["loss"]):
            key = {"train": "train", "pretrain": "pretraining.train"}[self.stage] + ".learning_rate"
            raise UserError(f"{self.stage}: the loss is not finite: lower {key}")
        losses = {f"train/{name}": value for name, value in means.items()}
        group = trainer.optimizers[0].param_groups[0]
        learning_rate = float(group["lr"] / group["lr_scale"])  # without the factor of this group
        return {**losses, **module.task.val_metrics, "learning_rate": learning_rate}

    def _write_curves(self) -> None:
        """Write the curves of all epochs so far. Only the first process does so."""
        if self.live:
            log_history(self.live, self.history, self.stage)

    def _save_checkpoint(self, trainer: lightning.Trainer, epoch: int) -> None:
        """Save the checkpoint in memory, and also write it to its file, if that takes not too much time.

        After a write that took t seconds, the next one comes after t / MAX_SAVING seconds or later. The
        checkpoint of the last epoch is always written.
        """
        start = time.monotonic()
        trainer.save_checkpoint(self.checkpoint_file.path)
        is_last = trainer.should_stop or epoch + 1 == self.settings.epochs
        if is_last or start - self.last_save >= self.save_seconds / MAX_SAVING:
            self.checkpoint_file.write()
            self.last_save = time.monotonic()
            self.save_seconds = self.last_save - start

    def _print_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Print a line with the epoch's metrics and the remaining time. epoch: from 0.

        A terminal shows a progress bar instead, and processes other than the first print nothing.
        """
        if sys.stdout.isatty() or not self.live:
            return
        epochs = self.settings.epochs
        epoch_seconds = (time.monotonic() - self.start_time) / (epoch + 1 - self.start_epoch)
        remaining_seconds = 0.0 if self._has_stopped() else epoch_seconds * (epochs - epoch - 1)
        values = ", ".join(
            f"{name.replace('/', ' ')} {value:.3f}" for name, value in metrics.items() if "/" in name
        )
        print(
            f"{self.stage}: epoch {epoch + 1} of {epochs}: {values}, {remaining_seconds:.0f} s left",
            flush=True,
        )


def resumable_precision(path: Path, fingerprint: str, stage: str) -> str | None:
    """Return the precision in which the unfinished training with its checkpoint at `path` must continue.

    Returns None if there is no checkpoint. If there is one that no training with this fingerprint can
    continue from, it is deleted, a message says so, and the result is None, too.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=True, mmap=True)["callbacks"][Recorder.__qualname__]
        if state["fingerprint"] == fingerprint:
            return state["precision"]
        reason = "from another training"
    except Exception as e:  # a truncated or foreign file may raise anything
        reason = type(e).__name__
    print(f"{stage}: {path} cannot be used ({reason}): training starts from the beginning", flush=True)
    path.unlink(missing_ok=True)
    return None
