"""What a training leaves behind: its curves, the epoch that was best, and a checkpoint to go on from."""

import io
import math
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from dvclive import Live
from lightning.pytorch.callbacks import Callback, TQDMProgressBar, WeightAveraging
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from pipeline.errors import UserError
from pipeline.store import epochs
from pipeline.store.atomic import written

SAVING = 0.02  # part of the time that saving may take: a large model is not saved after every short epoch


class Record(Callback):
    """Measures each epoch, keeps the best one's weights, writes the curves and the checkpoint to resume from.

    history: a dictionary of metrics for each epoch. best: epoch (from 0), rank and weights. settings: the
    section `train` of the parameters. stage: whose lines it writes. checkpoints: the trainer's plugin.
    """

    def __init__(
        self,
        checkpoints: "Checkpoints",
        live: Path,
        fingerprint: str,
        precision: str,
        seed: int,
        settings: Any,
        stage: str,
    ) -> None:
        self.checkpoints, self.folder, self.seed, self.epochs = checkpoints, live, seed, settings.epochs
        self.average, self.stage = settings.average, stage
        self.made = {"fingerprint": fingerprint, "precision": precision}
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {}
        self.live: Live | None = None
        self.saved = 0.0  # when
        self.saving = 0.0  # how long it took
        self.losses: dict[str, list[tuple[float, int]]] = {}

    @property
    def kept(self) -> int:
        """The epoch (from 0) whose metrics tell of the model: the best one, or the last of those averaged."""
        return self.average[1] - 1 if self.average else self.best["epoch"]

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, failure: type | None, *_: object) -> None:
        if self.live:
            self.live.end()
        if failure:  # an interrupt, say: what was not worth a write before is now
            self.checkpoints.write()

    def on_fit_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.live:
            log(self.live, self.history, self.stage, best=self.kept + 1)

    # Lightning keeps these two in its checkpoint.
    def state_dict(self) -> dict[str, Any]:
        return {**self.made, "history": self.history, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history, self.best = state["history"], state["best"]

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        # Lightning has restored the state by now. What an unfinished run wrote is written again from it.
        self.live = start_live(self.folder) if trainer.is_global_zero else None
        self._log()
        if self.history:
            print(f"{self.stage}: going on after epoch {len(self.history)} of {self.epochs}", flush=True)
        self.began, self.first = time.monotonic(), len(self.history)

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.losses.clear()
        own = [trainer.global_rank] if trainer.global_rank else []  # of several that train together
        seed = (self.seed, trainer.current_epoch, *own)
        torch.manual_seed(int(np.random.default_rng(seed).integers(2**62)))
        # A loader once drew a number here, but not in the first epoch after a start; the tables of docs/ were
        # made so. It has a generator of its own now, or a training that goes on would draw otherwise.
        if trainer.current_epoch:
            torch.empty((), dtype=torch.int64).random_()

    def on_train_batch_end(self, trainer, module, outputs: dict, batch: dict, batch_idx: int) -> None:
        parts = {"loss": outputs["own"]} | outputs.get("parts", {})
        for name, value in parts.items():
            self.losses.setdefault(name, []).append((float(value), len(batch["clip"])))

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        means = {k: sum(x * n for x, n in v) / sum(n for _, n in v) for k, v in self.losses.items()}
        if trainer.world_size > 1:  # of all processes, which then agree on what follows
            every = trainer.strategy.reduce(torch.tensor(list(means.values()), device=module.device))
            means = dict(zip(means, every.tolist(), strict=True))
        if not math.isfinite(means["loss"]):
            knob = {"train": "train", "pretrain": "pretraining.train"}[self.stage] + ".learning_rate"
            raise UserError(f"{self.stage}: the loss is no longer a number: lower {knob}")
        group = trainer.optimizers[0].param_groups[0]
        epoch = trainer.current_epoch
        losses = {f"train/{name}": value for name, value in means.items()}
        metrics = {**losses, **module.measured, "learning_rate": float(group["lr"] / group["lr_scale"])}
        self.history.append(metrics)
        # Without validation each epoch is better than the one before.
        rank = module.rank() if module.measured else [float(epoch)]
        if not self.best or rank >= self.best["rank"]:
            weights = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
            self.best = {"epoch": epoch, "rank": rank, "weights": weights}
        self._log()
        self._save(trainer, epoch)
        self._tell(epoch, metrics)  # last: what is told, an interrupt does not take away

    def _log(self) -> None:
        if self.live:
            log(self.live, self.history, self.stage)

    def _tell(self, epoch: int, metrics: dict[str, float]) -> None:
        if sys.stdout.isatty() or not self.live:
            return
        left = (time.monotonic() - self.began) / (epoch + 1 - self.first) * (self.epochs - epoch - 1)
        values = ", ".join(
            f"{name.replace('/', ' ')} {value:.3f}" for name, value in metrics.items() if "/" in name
        )
        print(f"{self.stage}: epoch {epoch + 1} of {self.epochs}: {values}, {left:.0f} s left", flush=True)

    def _save(self, trainer: lightning.Trainer, epoch: int) -> None:
        began = time.monotonic()
        trainer.save_checkpoint(self.checkpoints.path)
        soon = epoch + 1 < self.epochs and began - self.saved < self.saving / SAVING
        if soon:
            return
        self.checkpoints.write()
        self.saved = time.monotonic()
        self.saving = self.saved - began


def start_live(folder: Path) -> Live:
    return Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)


def log(live: Live, history: list[dict[str, float]], stage: str, best: int | None = None) -> None:
    """Write the metrics of all epochs to `epochs.csv`, those of the last and the best one to `metrics.json`.

    best: its number, from 1; None while training goes on.
    """
    epochs.write(live.dir, history, stage)
    if not history:
        return
    live.step = len(history)
    values = {**history[-1], "epoch": len(history)}
    if best:
        values |= {f"best/{name}": value for name, value in {"epoch": best, **history[best - 1]}.items()}
    for name, value in values.items():
        live.log_metric(name, value, plot=False)
    live.make_summary()


class Average(WeightAveraging):
    """The mean of the weights after each of some epochs, from `first` to `last` (from 1); validation looks at
    the weights of the epoch itself."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first, self.last = first, last

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None and self.first <= epoch_idx + 1 <= self.last

    def on_validation_epoch_start(self, *_: Any) -> None:
        pass

    def on_validation_epoch_end(self, *_: Any) -> None:
        pass


class Checkpoints(TorchCheckpointIO):
    """Keeps the checkpoint of the last epoch in memory until it is written to `path`.

    Writing after each short epoch would take more time than training. An interrupt writes what is kept.
    Lightning itself would write by way of /tmp, where a kill leaves the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.unwritten: dict[str, Any] | None = None

    def save_checkpoint(self, checkpoint: dict, path: str | Path, storage_options: Any = None) -> None:
        """Copy what Lightning hands over: training goes on to change those tensors."""
        self.unwritten = apply_to_collection(checkpoint, Tensor, lambda x: x.detach().to("cpu", copy=True))

    def write(self) -> None:
        """Write the checkpoint in memory, if any; other processes see the old file or the new one."""
        if self.unwritten is None:
            return
        content = io.BytesIO()  # whole, so that a full disk is an error of the write and of nothing else
        torch.save(self.unwritten, content)
        with written(self.path) as part:
            part.write_bytes(content.getbuffer())
        self.unwritten = None


class Bar(TQDMProgressBar):
    """Lightning's bar, without a second one for validation, which takes less than a second."""

    def __init__(self) -> None:
        super().__init__(leave=False)

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)
