"""What a GPU does in a second: training, embedding and towers, in at most 8 minutes.

    python -m benchmarks.gpu [--small]

- `training`: windows per second of training steps. `step`: of the network alone, with a batch that is in the
  GPU's memory; `loop`: also read, augment and copy each batch, as the stage train does with
  `train.loader_workers: 0`.
- `embedding`: windows per second of the stages evaluate and index.
- `towers`: images per second of the stage video_towers, in one process.

The models are the default one, and two with larger networks for pictures of 224 x 224. Data and weights are
random: nothing is downloaded, and `dvc repro` need not have run. The result is written to
benchmarks/results/gpu.json. `--small`: tiny sizes on any machine, as a test; no result is written.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import result_files
from models import checkpoint
from models.checkpoint import Model
from models.device import CPU, choose_device, computes_fast_in_bf16, mixed_precision, mixed_type
from models.inference.towers_step import TowersStep
from models.tasks import tasks
from models.training.batches import Batches
from models.training.experiment import configure_experiment, select_input_params
from models.training.loop import make_config
from pipeline import cli
from pipeline.config import ROOT, read
from pipeline.dataset.augment import Augment
from pipeline.dataset.dataset import Dataset
from pipeline.dataset.windows import WindowRule
from pipeline.errors import UserError
from pipeline.media.spectrogram import SpectrogramStep

LIMIT = 400  # s: what would begin later is left out
PRECISIONS = ("bf16-mixed", "32-true")


@dataclass(frozen=True)
class Sizes:
    """How much is measured. seconds: of each measurement, after `warm_up` calls. networks: for pictures of
    `pixels` x `pixels`."""

    seconds: float
    warm_up: int
    clips: int
    batch: int
    pixels: int
    networks: tuple[str, ...]
    towers: tuple[str, ...]


NETWORKS = ("timm/resnet50", "timm/vit_small_patch16_224")
FULL = Sizes(5.0, 5, 512, 64, 224, NETWORKS, ("timm/tf_efficientnet_lite0", *NETWORKS))
SMALL = Sizes(0.2, 1, 16, 8, 32, ("timm/test_resnet", "timm/test_vit"), ("timm/test_resnet",))


def measure_rate(function: Callable[[], int], sizes: Sizes, device: str) -> float:
    """Call a function again and again; return how many items it does in a second. It returns their number."""
    for _ in range(sizes.warm_up):
        function()
    wait_for(device)
    start, n_items = time.perf_counter(), 0
    while time.perf_counter() - start < sizes.seconds:
        n_items += function()
        wait_for(device)
    return float(f"{n_items / (time.perf_counter() - start):.4g}")


def wait_for(device: str) -> None:
    """Wait until a GPU has done what it was told."""
    if device != CPU:
        torch.cuda.synchronize()


def create_data(params: Any, n_clips: int) -> Dataset:
    """Create clips of random sound and pictures in memory, of the sizes that params.yaml describes."""
    rng = np.random.default_rng(0)
    sound_shape = SpectrogramStep(params.audio, params.data.clip_seconds).shape
    picture_shape = (params.video.frames, params.video.height, params.video.width, 3)
    seconds = params.data.clip_seconds
    ids = [f"clip{i}" for i in range(n_clips)]
    return Dataset(
        folder=Path(),
        clip_id=ids,
        split=np.where(np.arange(n_clips) % 4, "train", "test"),
        group=np.array(ids),
        recording=np.arange(n_clips),
        columns={"labels": [["a"]] * n_clips, "subject": [None] * n_clips},
        seconds=np.full(n_clips, seconds),
        times=np.tile(np.linspace(0, seconds, params.video.frames), (n_clips, 1)),
        audio=rng.normal(-40, 20, (n_clips, *sound_shape)).astype(np.float16),
        video=rng.integers(0, 256, (n_clips, *picture_shape), np.uint8),
        windows=WindowRule.from_config(params.audio, params.video, clip_columns=sound_shape[2]),
        digest="",
    )


class Trial:
    """A network that trains on random data. params: of its experiment."""

    def __init__(self, params: Any, sizes: Sizes, device: str) -> None:
        self.sizes, self.device = sizes, device
        self.data = create_data(params, sizes.clips)
        experiment = configure_experiment(params)
        plan = tasks.get(experiment.task).plan(experiment, self.data)
        config = make_config(experiment, params.train, select_input_params(params), self.data)
        self.config = config | plan.config_entries
        self.module: Any = checkpoint.build(self.config)
        self.module.log = lambda *_, **__: None  # there is no trainer
        self.module.steps = 1000
        augment = Augment(params.audio.feature, **params.augment.model_dump())
        self.batches = Batches(self.data, augment)
        self.planned_batches = list(plan.make_sampler(plan.clips["train"], sizes.batch, 0))

    def measure_training(self, precision: str) -> dict[str, float]:
        """Measure training steps: windows per second, and on a GPU the most memory that they take."""
        module = self.module.to(self.device).train()
        optimizer = module.configure_optimizers()["optimizer"]
        dtype = mixed_type(self.device, precision)
        number = 0

        def step(batch: dict[str, torch.Tensor]) -> int:
            with mixed_precision(self.device, dtype):
                loss = module.training_step(batch, 0)["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return len(batch["clip"])

        def read_batch() -> dict[str, torch.Tensor]:
            nonlocal number
            number = (number + 1) % len(self.planned_batches)
            batch = self.batches[self.planned_batches[number]]
            return {name: value.to(self.device) for name, value in batch.items()}

        if self.device != CPU:
            torch.cuda.reset_peak_memory_stats()
        same_batch = read_batch()
        results = {
            "step": measure_rate(lambda: step(same_batch), self.sizes, self.device),
            "loop": measure_rate(lambda: step(read_batch()), self.sizes, self.device),
        }
        if self.device != CPU:
            results["memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
        return results

    def measure_embedding(self, precision: str) -> float:
        """Measure windows per second of Model.embed, which the stages evaluate and index call."""
        config = self.config | {"train": self.config["train"] | {"precision": precision}}
        model, clips = Model(self.module, config, self.device), np.arange(len(self.data))

        def embed() -> int:
            model.embed(self.data, clips)
            return len(clips)

        return measure_rate(embed, self.sizes, self.device)


def measure_towers(network: str, params: Any, sizes: Sizes, device: str) -> float:
    """Measure images per second of one process of the stage video_towers."""
    frames = np.asarray(create_data(params, sizes.batch).video)
    step = TowersStep("video", frames.shape[1:], segments=None, device=device).with_networks({network: {}})

    def compute() -> int:
        outcomes = list(step([{}] * len(frames), list(frames)))
        return len(outcomes) * frames.shape[1]

    return measure_rate(compute, sizes, device)


def describe(device: str) -> dict[str, Any]:
    """Describe the GPU, the libraries and the code."""
    command = ["git", "log", "-1", "--format=%h of %cs"]
    code = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {
        "gpu": None if device == CPU else torch.cuda.get_device_name(),
        "memory_gb": None if device == CPU else round(torch.cuda.get_device_properties(0).total_memory / 1e9),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "fast_in_bf16": computes_fast_in_bf16(device),
        "date": date.today().isoformat(),
        "code": code or None,
    }


class Measurements:
    """What is measured, until LIMIT is over."""

    def __init__(self, device: str) -> None:
        self.device, self.start = device, time.monotonic()
        self.results: dict[str, Any] = {"training": {}, "embedding": {}, "towers": {}, "left_out": []}

    def add(
        self, part: str, name: str, precision: str, function: Callable[..., Any], *arguments: Any
    ) -> None:
        """Store the result of a function, unless there is no time or no memory for it."""
        label = f"{part} {name} {precision}"
        if time.monotonic() - self.start > LIMIT:
            self.results["left_out"].append(f"{label}: no time")
            return
        try:
            value = function(*arguments)
        except (torch.cuda.OutOfMemoryError, UserError) as e:  # UserError: see models.device
            self.results["left_out"].append(f"{label}: {str(e).splitlines()[0]}")
        else:
            self.results[part].setdefault(name, {})[precision] = value
            print(f"gpu: {label}: {value}", flush=True)
        if self.device != CPU:
            torch.cuda.empty_cache()


def measure(params: Any, sizes: Sizes, device: str) -> dict[str, Any]:
    """Measure everything. Returns the content of gpu.json."""
    measurements = Measurements(device)
    # On a CPU a model computes in single precision only (models/device.py).
    precisions = [name for name in PRECISIONS if device != CPU or name == "32-true"]
    square = {"video.height": sizes.pixels, "video.width": sizes.pixels}
    default: dict[str, Any] = {"train.batch_size": sizes.batch}
    experiments: dict[str, dict[str, Any]] = {"default": default} | {
        network: default | square | {"video_encoder": network} for network in sizes.networks
    }
    for name, changes in experiments.items():
        trial = Trial(params.override(changes), sizes, device)
        for precision in precisions:
            measurements.add("training", name, precision, trial.measure_training, precision)
            measurements.add("embedding", name, precision, trial.measure_embedding, precision)
    for network in sizes.towers:
        arguments = network, params.override(square), sizes, device
        measurements.add("towers", network, "32-true", measure_towers, *arguments)
    seconds = round(time.monotonic() - measurements.start)
    return describe(device) | {"batch": sizes.batch} | measurements.results | {"seconds": seconds}


def main() -> None:
    """Measure and write the result. Raises UserError if there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny sizes on any machine, writes nothing")
    is_small = parser.parse_args().small
    device = choose_device()
    if device == CPU and not is_small:
        raise UserError("gpu: PyTorch finds no GPU: check nvidia-smi, or try the program with --small")
    results = measure(read(), SMALL if is_small else FULL, device)
    if not is_small:
        result_files.save("gpu", results)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    cli.run(main)
