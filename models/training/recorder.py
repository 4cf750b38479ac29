"""Records a training: curves, the best epoch (see best_epoch.py), and the checkpoint to resume from."""

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
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config.train import LearningParams

MAX_SAVING = 0.02  # share of the time for writing checkpoints: large models skip some of their short epochs


class Recorder(Callback):
    """Measure each epoch, keep the weights of the best, write the curves and the checkpoint to resume from.

    Lightning's ModelCheckpoint would write a separate file at every better epoch, compares one number, and
    prefers the earlier of equal epochs. Here the best weights are in the same file as the checkpoint to
    resume from, so that a kill never leaves one without the other.

    history: metrics of each epoch. best: the best epoch so far. stage: its name in dvc.yaml, for
    messages. settings: of that stage. curves: the folder to write them to.
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
        self.checkpoint_file, self.curves, self.stage = checkpoint_file, curves, stage
        self.settings, self.seed = settings, seed
        self.precision, self.fingerprint = precision, fingerprint
        self.history: list[dict[str, float]] = []
        self.best = BestEpoch()
        self.live: Live | None = None  # None in all processes but the first
        self.last_save = 0.0  # time.monotonic()
        self.save_seconds = 0.0
        self.losses: dict[str, list[tuple[float, int]]] = {}  # name -> (mean, clips) of each batch

    @property
    def best_epoch(self) -> int:
        """Return the epoch (from 0) whose metrics describe the model: the best, or the last of an average."""
        return self.settings.average[1] - 1 if self.settings.average else self.best.epoch

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, error_type: type | None, *_: object) -> None:
        if self.live:
            self.live.end()
        if error_type:  # such as an interrupt: write also an epoch that was too short to be written
            self.checkpoint_file.write()

    # Lightning keeps these two in its checkpoint.
    def state_dict(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "precision": self.precision,
            "history": self.history,
            "best": vars(self.best),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history, self.best = state["history"], BestEpoch(**state["best"])

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        # Lightning has loaded the checkpoint by now: write the curves of an unfinished run again from it.
        self.live = start_live(self.curves) if trainer.is_global_zero else None
        self._log()
        if self.history:
            epochs = f"epoch {len(self.history)} of {self.settings.epochs}"
            print(f"{self.stage}: resuming after {epochs}", flush=True)
        self.start_time, self.start_epoch = time.monotonic(), len(self.history)

    def on_fit_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.live:
            log_history(self.live, self.history, self.stage, best=self.best_epoch + 1)

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.losses.clear()
        # different random numbers in each process
        rank = [trainer.global_rank] if trainer.global_rank else []
        seed = (self.seed, trainer.current_epoch, *rank)
        torch.manual_seed(int(np.random.default_rng(seed).integers(2**62)))

    def on_train_batch_end(self, trainer, module, outputs: dict, batch: dict, batch_idx: int) -> None:
        losses = {"loss": outputs["logged_loss"]} | outputs.get("logged_metrics", {})
        for name, value in losses.items():
            self.losses.setdefault(name, []).append((float(value), len(batch["clip"])))

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        epoch, metrics = trainer.current_epoch, self._metrics(trainer, module)
        self.history.append(metrics)
        self.best.update(epoch, module)
        self._log()
        self._save(trainer, epoch)
        self._print(epoch, metrics)  # last: an epoch that was printed is not lost at an interrupt

    def _metrics(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> dict[str, float]:
        """Compute the metrics of the epoch. Raises UserError if the loss is not finite."""
        means = {k: sum(x * n for x, n in v) / sum(n for _, n in v) for k, v in self.losses.items()}
        if trainer.world_size > 1:  # means over all processes, so that all choose the same best epoch
            reduced = trainer.strategy.reduce(torch.tensor(list(means.values()), device=module.device))
            means = dict(zip(means, reduced.tolist(), strict=True))
        if not math.isfinite(means["loss"]):
            key = {"train": "train", "pretrain": "pretraining.train"}[self.stage] + ".learning_rate"
            raise UserError(f"{self.stage}: the loss is not finite: lower {key}")
        losses = {f"train/{name}": value for name, value in means.items()}
        group = trainer.optimizers[0].param_groups[0]
        return {**losses, **module.val_metrics, "learning_rate": float(group["lr"] / group["lr_scale"])}

    def _log(self) -> None:
        if self.live:
            log_history(self.live, self.history, self.stage)

    def _save(self, trainer: lightning.Trainer, epoch: int) -> None:
        """Save the checkpoint in memory, and to its file unless the last write was too recent."""
        start = time.monotonic()
        trainer.save_checkpoint(self.checkpoint_file.path)
        is_last = epoch + 1 == self.settings.epochs
        if is_last or start - self.last_save >= self.save_seconds / MAX_SAVING:
            self.checkpoint_file.write()
            self.last_save = time.monotonic()
            self.save_seconds = self.last_save - start

    def _print(self, epoch: int, metrics: dict[str, float]) -> None:
        if sys.stdout.isatty() or not self.live:
            return
        epochs = self.settings.epochs
        epoch_seconds = (time.monotonic() - self.start_time) / (epoch + 1 - self.start_epoch)
        seconds = epoch_seconds * (epochs - epoch - 1)
        values = ", ".join(
            f"{name.replace('/', ' ')} {value:.3f}" for name, value in metrics.items() if "/" in name
        )
        print(f"{self.stage}: epoch {epoch + 1} of {epochs}: {values}, {seconds:.0f} s left", flush=True)


def resumable_precision(path: Path, fingerprint: str, stage: str) -> str | None:
    """Return the precision of the unfinished training at `path`, with which it must continue.

    Returns None and deletes the file if no training with this fingerprint can continue from it.
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
