"""Training: Lightning's trainer, and beside it what records, chooses and goes on after a kill.

All that is random in an epoch comes from the seed and the epoch's number (pairs, windows, augmentation, and
torch's own generator, set anew as each epoch begins), so that the checkpoint to resume from need hold no
generator's state, and a training that was killed ends in the weights of one that was not.
"""

import logging
import math
import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader

from models import checkpoint
from models.tasks import tasks
from models.tasks._experiment import Experiment
from models.training.recorder import Average, Bar, Checkpoints, Record, log, start_live
from pipeline.dataset import augment, pairing
from pipeline.dataset.dataset import MIDDLE, Dataset
from pipeline.errors import UserError
from pipeline.store import resume

BF16 = (
    "avx512_bf16",
    "amx_bf16",
    "arm_bf16",
    "bf16",
)  # instructions without which bfloat16 is slower than single


def train(
    experiment: Experiment,
    settings: Any,
    change: Any,
    inputs: dict[str, Any],
    data: Dataset,
    out: str | Path,
    live: str | Path,
    fingerprint: str,
) -> dict[str, Any]:
    """Train, choose the best epoch by validation, and write the model to `out` and its curves to `live`.

    settings, change: sections of the parameters: `train`, `augment`, or those of `pretraining`. inputs: of
    the function `inputs`. data: of `dataset.load`. fingerprint: what params, data and code this
    is; an unfinished training with the same one, left in `resume/`, is continued.
    Returns epochs, best_epoch (from 1) and that epoch's train/loss, and val/loss, val/auc, val/accuracy where
    there is validation.
    Raises UserError where there are too few clips, and KeyboardInterrupt, after which the next call goes on.
    """
    out, live = Path(out), Path(live)
    task = tasks.get(experiment.task)
    stage, plan = task.stage, task.plan(experiment, data)
    train_clips, val_clips = plan.clips["train"], plan.clips["val"]
    config = _config(experiment, settings, inputs, data) | plan.about
    begun = _begun(experiment, config)
    if torch.cuda.is_available() and settings.devices > torch.cuda.device_count():
        raise UserError(f"devices: {settings.devices}: this machine has {torch.cuda.device_count()} GPUs")
    out.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(resume.prepare(f"{stage}-{fingerprint}.ckpt"))
    resumed = _resumable(checkpoints.path, fingerprint, stage)
    precision = resumed["precision"] if resumed else _precision(settings.precision)
    nodes = int(os.environ.get("GROUP_WORLD_SIZE") or 1)  # torchrun says it on each of several machines

    torch.manual_seed(experiment.seed)
    module = checkpoint.build(config)
    if begun:
        module.encoder.take(begun.module.encoder.state_dict(), begun.module.encoder.grid)
    for part in (getattr(module, name, None) for name in ("encoder", "decoder")):
        if part is not None:
            part.gradient_checkpointing = settings.gradient_checkpointing
    record = Record(checkpoints, live, fingerprint, precision, experiment.seed, settings, stage)
    callbacks: list[Callback] = [record, *([Bar()] if sys.stdout.isatty() else [])]
    average = Average(*settings.average) if settings.average else None
    if average:
        callbacks.insert(0, average)
    with _quiet(), _interruptible(), record:
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            precision=precision,
            accelerator="auto",
            devices=settings.devices,
            num_nodes=nodes,
            strategy="ddp_find_unused_parameters_true" if settings.devices * nodes > 1 else "auto",
            use_distributed_sampler=False,  # ours deals out whole batches
            accumulate_grad_batches=settings.accumulate,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stdout.isatty(),
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            callbacks=callbacks,
            plugins=[checkpoints],
        )
        how = {"even": getattr(settings, "balanced", False)}
        how["share"] = trainer.global_rank, trainer.world_size
        sampler = plan.sampler(train_clips, settings.batch_size, experiment.seed, **how)
        augmentation = augment.Augment(inputs["audio"]["feature"], **change.model_dump())
        anywhere = inputs["video"]["training_frame"] == "random"
        batches = Batches(data, augmentation, plan.targets, anywhere)
        loaders = [_loader(batches, sampler, settings.loader_workers)]
        module.steps = settings.epochs * math.ceil(len(sampler) / settings.accumulate)
        if len(val_clips):
            val = plan.sampler(val_clips, settings.batch_size, experiment.seed)
            module.watch(plan, val_clips)
            fixed = Batches(data, None, plan.targets)
            loaders.append(_loader(fixed, Fixed(val), settings.loader_workers))
        else:
            print(
                f"{stage}: no clips for validation: the last epoch is taken, and the score's threshold is"
                " training's"
            )
        try:
            trainer.fit(module, *loaders, ckpt_path=checkpoints.path if resumed else None, weights_only=True)
        except SystemExit:  # what Lightning makes of an interrupt
            raise KeyboardInterrupt from None
    if not trainer.is_global_zero:  # the first process goes on alone
        sys.exit()
    if average:
        average.on_train_end(trainer, module)  # Lightning leaves it out where only the last epoch was missing
    else:
        module.load_state_dict(record.best["weights"])
    summary = _finish(module, record, data, val_clips, config | {"fingerprint": fingerprint}, out)
    resume.delete(checkpoints.path)
    return summary


def _begun(experiment: Experiment, config: dict[str, Any]) -> checkpoint.Model | None:
    """The model that an encoder of both modalities starts from, whose sizes `config` then has too."""
    if not (start := experiment.start):
        return None
    begun = checkpoint.load(start)
    if begun.config.get("encoder") != experiment.encoder:
        raise UserError(f"classification.start: {start}: holds no {experiment.encoder}")
    # How many patches there are may differ (positions are interpolated), what a patch holds may not.
    same = ["feature", "sample_rate", "hop_length", "win_length", "n_mels", "dtype"]
    if config["inputs"]["audio"]["feature"] != "fbank":  # Kaldi knows none of these
        same += ["n_fft", "fmin", "fmax"]
    old, new = (c["inputs"]["audio"] for c in (begun.config, config))
    if wrong := [f"audio.{k} {old[k]}, not {new[k]}" for k in same if old.get(k) != new.get(k)]:
        raise UserError(f"classification.start: {start}: was made for {', '.join(wrong)}")
    own = {"columns": config["encoders"]["joint"].get("columns", 0), "pretrained": False}
    config["encoders"] = config["encoders"] | {"joint": begun.config["encoders"]["joint"] | own}
    return begun


def _finish(
    module, record: "Record", data: Dataset, val: np.ndarray, config: dict, out: Path
) -> dict[str, Any]:
    model = checkpoint.Model(module, config)
    module.settle(model, data, val)
    summary = {"epochs": len(record.history), "best_epoch": record.kept + 1, **record.history[record.kept]}
    checkpoint.save(out, module, config | {"chosen": summary, "history": record.history})
    return summary


def _config(experiment: Experiment, settings: Any, inputs: dict, data: Dataset) -> dict[str, Any]:
    config = asdict(experiment) | {
        "train": settings.model_dump(),
        "inputs": inputs,
        "audio_shape": list(data.audio_shape),
        "video_shape": list(data.video_shape),
    }
    return config | ({"statistics": data.statistics} if experiment.encoder else {})


def _precision(wanted: str) -> str:
    """Lightning's name of the precision; `auto` takes bfloat16 where the machine computes in it."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu.get_capabilities()
        fast = any(has.get(name) for name in BF16) and not torch.backends.mps.is_available()
    return "bf16-mixed" if fast else "32-true"


# --- batches ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batches(torch.utils.data.Dataset):
    """A data set whose items are whole batches: reading one at once spares the copy of a collation."""

    data: Dataset
    change: augment.Augment | None
    targets: np.ndarray | None = None
    anywhere: bool = False  # frames at a random place in the window

    def __getitem__(self, batch: pairing.Batch) -> dict[str, Tensor]:
        look = np.random.default_rng((*batch.seed, 1)).random(len(batch.clip)) if self.anywhere else MIDDLE
        audio, video = self.data.read(batch.clip, batch.at, look)
        if self.change:
            audio, video = self.change(audio, video, batch.seed)
        arrays = {"audio": audio, "video": video, "clip": batch.clip}
        if self.targets is None:
            arrays |= {"right": batch.right, "wrong": batch.wrong, "same": batch.same}
        else:
            arrays["target"] = self.targets[batch.clip].astype(np.float32)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class Fixed:
    """A sampler's first epoch, each clip's middle window, for validation: always the same."""

    def __init__(self, sampler: pairing.Sampler) -> None:
        self.batches = [
            pairing.Batch(b.clip, np.full(len(b.clip), 0.5), b.right, b.wrong, b.same, b.seed)
            for b in sampler
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


def _loader(dataset: Batches, sampler: Any, workers: int) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )


def hand_on(source: str | Path, out: str | Path, live: str | Path, **about: Any) -> dict[str, Any]:
    """The model of the stage pretrain as the stage train's own: its files, its curves, and `about` in its
    configuration. Returns its summary, as `train`."""
    model = checkpoint.load(source)
    config = model.config | about
    checkpoint.save(out, model.module, config)
    write_curves(config, live, "train")
    return config["chosen"]


def write_curves(config: dict[str, Any], live: str | Path, stage: str) -> None:
    """Write the curves of a trained model into `live` again, from its configuration."""
    with start_live(Path(live)) as writer:
        for best in (None, config["chosen"]["best_epoch"]):  # as training does: keys come in the same order
            log(writer, config["history"], stage, best)


def _resumable(path: Path, fingerprint: str, stage: str) -> dict[str, Any] | None:
    """Read the precision from the checkpoint at `path`; return None, and delete it, where it is of no use."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=True, mmap=True)["callbacks"][Record.__qualname__]
        if state["fingerprint"] == fingerprint:
            return {"precision": state["precision"]}
        reason = "of another training"
    except Exception as e:  # whatever a torn or foreign file makes of it
        reason = type(e).__name__
    print(f"{stage}: {path} cannot be used ({reason}): training starts from the beginning", flush=True)
    path.unlink(missing_ok=True)
    return None


@contextmanager
def _quiet():
    """Without Lightning's talk of devices, tips and loaders: none of it is about what the user does."""
    loggers = [
        logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "dvclive", "dvc")
    ]
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


@contextmanager
def _interruptible():
    """The first SIGINT or SIGTERM raises KeyboardInterrupt; later ones must not stop what is then saved.

    Lightning alone would wait for the end of a batch, and have the second one end the process at once.
    """
    if threading.current_thread() is not threading.main_thread():  # it gets no signals
        yield
        return
    interrupted = False

    def interrupt(*_: Any) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    before = {s: handler for s, handler in before.items() if handler is not signal.SIG_IGN}  # nohup
    for s in before:
        signal.signal(s, interrupt)
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
