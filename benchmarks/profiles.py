"""Where the time goes, and how far that is from what the machine can do: `python -m benchmarks.profiles`,
after `dvc repro`.

- `wav`, `spectrogram`, `frames`: their steps on one core, beside the limit: the same streams and frames bare
  decoded and scaled (benchmarks.bare), the Fourier transforms and the filter bank alone. `of_limit`: limit /
  step, above 1 where ours is faster than that; `decoded_alone_ms`: nothing but the decoder.
- `step`: a training step of the default model from windows in memory, in multiply-adds, beside the largest
  product of matrices in the same precision. `of_peak`: its share of that.
- All stages of the default experiment: the functions that take most time of their own, by cProfile.
"""

import argparse
import cProfile
import importlib
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import scipy.fft

from benchmarks import bare, films, result_files
from benchmarks.overheads import copy_project
from pipeline.config import ROOT, read, stage_names
from pipeline.media.features.filter_banks import mel_bank
from pipeline.media.files import Media
from pipeline.media.frames import FramesStep
from pipeline.media.spectrogram import SpectrogramStep
from pipeline.media.wav import WavStep, read_wav
from testing import commands

GOALS = {"wav": 0.8, "spectrogram": 0.8, "frames": 0.8}
TOP = 6
ROUNDS = 5


def cpu_seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def profile_decoding(folder: Path, count: int) -> dict[str, Any]:
    """Each step and its limit by turns, in this process."""
    params = read(ROOT / "params.yaml")
    paths = [str(path) for path in films.write_videos(folder, 24)]
    paths = [paths[i % len(paths)] for i in range(count)]
    clips = [{"clip_id": str(i), "start": None, "end": None} for i in range(count)]
    media = [Media(path, path) for path in paths]
    wav = WavStep(params.audio, params.data.clip_seconds)
    spectrogram = SpectrogramStep(params.audio, params.data.clip_seconds)
    frames = FramesStep(params.video, params.data.clip_seconds)
    sounds = [outcome.value for outcome in wav(clips, media)]
    times = [outcome.extra["times"] for outcome in frames(clips, media)]
    size = params.video.height, params.video.width
    functions: dict[str, tuple[Callable, ...]] = {
        "wav": (
            lambda: list(wav(clips, media)),
            lambda: [bare.decode(path, "audio") for path in paths],
            lambda: [bare.sound(path, params.audio.sample_rate) for path in paths],
        ),
        "spectrogram": (
            lambda: list(spectrogram(clips, sounds)),
            lambda: None,
            lambda: [compute_mel(sound, params.audio) for sound in sounds],
        ),
        "frames": (
            lambda: list(frames(clips, media)),
            lambda: [bare.decode(path, "video", t[0], t[-1]) for path, t in zip(paths, times, strict=True)],
            lambda: [bare.pictures(path, t, *size) for path, t in zip(paths, times, strict=True)],
        ),
    }
    results = {}
    for name, one in functions.items():
        rounds = [[cpu_seconds(way) for way in one] for _ in range(ROUNDS)]
        ours, decode_ms, limit_ms = (
            1000 * statistics.median(way) / count for way in zip(*rounds, strict=True)
        )
        profiler = cProfile.Profile()
        profiler.runcall(one[0])
        results[name] = {
            "ms_a_clip": round(ours, 2),
            "limit_ms": round(limit_ms, 2),
            "decoded_alone_ms": round(decode_ms, 2),
            "of_limit": round(statistics.median(limit / step for step, _, limit in rounds), 2),
            "goal": GOALS[name],
            "most": slowest_functions(profiler),
        }
    return results


def compute_mel(content: bytes, audio: Any) -> np.ndarray:
    """The arithmetic of a mel spectrogram and nothing around it, of the sound alone."""
    sound, _ = read_wav(content)
    if audio.feature != "mel":
        raise SystemExit("audio.feature: mel is what is measured here")
    columns = 1 + len(sound) // audio.hop_length
    padded = np.zeros(columns * audio.hop_length + audio.n_fft)
    padded[: len(sound)] = sound
    frames = np.lib.stride_tricks.sliding_window_view(padded, audio.n_fft)[:: audio.hop_length]
    window = np.hanning(audio.n_fft)
    bank = mel_bank(audio.sample_rate, audio.n_fft, audio.n_mels, audio.fmin, audio.fmax)
    parts = []
    for i in range(0, len(frames), 64):
        spectrum = scipy.fft.rfft(frames[i : i + 64] * window, axis=1, workers=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        parts.append(np.log10(bank @ np.ascontiguousarray(power.T) + 1))
    return np.concatenate(parts, axis=1).astype(np.float16)


def slowest_functions(profiler: cProfile.Profile) -> list[dict[str, Any]]:
    """The functions with most time of their own."""
    stats = pstats.Stats(profiler).stats
    whole = sum(own for _, _, own, _, _ in stats.values())
    first = sorted(stats.items(), key=lambda item: -item[1][2])[:TOP]
    return [
        {"function": function_name(*key), "share": round(own / whole, 3), "calls": calls}
        for key, (_, calls, own, _, _) in first
    ]


def function_name(file: str, line: int, name: str) -> str:
    if file.startswith("~"):
        return name.strip("<>{}")
    parts = Path(file).parts
    start = parts.index("site-packages") + 1 if "site-packages" in parts else -2
    return f"{'/'.join(parts[start:])}:{name}"


def step() -> dict[str, Any]:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from models import checkpoint
    from models.training.precision import lightning_precision

    params, model = read(ROOT / "params.yaml"), checkpoint.load(ROOT / "checkpoints")
    module, config = model.module.train(), model.config
    module.steps = 1000
    optimizer = module.configure_optimizers()["optimizer"]
    batch = params.train.batch_size
    order = torch.arange(batch)
    batch_inputs = {
        "audio": torch.randn(batch, *config["audio_shape"]).half(),
        "video": torch.randint(0, 256, (batch, *config["video_shape"]), dtype=torch.uint8),
        "positive": order,
        "negative": order.roll(1),
        "related": torch.eye(batch, dtype=torch.bool),
    }
    bf16 = lightning_precision("auto") == "bf16-mixed"

    def train_step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = sum(
                module.compute_losses(
                    *module.embed_pair(batch_inputs["audio"], batch_inputs["video"]), batch_inputs
                )
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        train_step()
    seconds = statistics.median(commands.measure_seconds(train_step) for _ in range(4 * ROUNDS))
    matrix = torch.randn(4096, 4096, dtype=torch.bfloat16 if bf16 else torch.float32)
    matrix @ matrix
    peak = 2 * 4096**3 / min(commands.measure_seconds(lambda: matrix @ matrix) for _ in range(ROUNDS))
    rate = counter.get_total_flops() / seconds
    return {
        "batch": batch,
        "precision": lightning_precision("auto"),
        "ms": round(1000 * seconds, 1),
        "gflop": round(counter.get_total_flops() / 1e9, 1),
        "gflop_s": round(rate / 1e9, 1),
        "peak_gflop_s": round(peak / 1e9, 1),
        "of_peak": round(rate / peak, 3),
    }


def stages(root: Path) -> dict[str, Any]:
    """Each in a process of its own; those that decode say what the parent does beside its workers."""
    results = {}
    for name in stage_names():
        words = [sys.executable, "-m", "benchmarks.profiles", f"--stage={name}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, check=True)
        results[name] = json.loads(process.stdout.splitlines()[-1])
        print(f"{name}: {results[name]['s']} s", flush=True)
    return results


def stage(name: str) -> dict[str, Any]:
    """A stage in this folder, its imports counted."""
    profiler, start = cProfile.Profile(), time.perf_counter()
    profiler.runcall(lambda: getattr(importlib.import_module(f"stages.{name}"), name)())
    return {"s": round(time.perf_counter() - start, 2), "most": slowest_functions(profiler)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiles", description=__doc__)
    parser.formatter_class = argparse.RawTextHelpFormatter
    parser.add_argument("--clips", type=int, default=240, help="of decoding")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(stage(options.stage)))
        return
    av.logging.set_level(av.logging.FATAL)
    with tempfile.TemporaryDirectory(prefix="earsight-profiles-") as name:
        folder = Path(name)
        results = {"steps": profile_decoding(folder / "films", options.clips)}
        for key, value in results["steps"].items():
            print(f"{key}: {value['of_limit']} of the limit", flush=True)
        results["training_step"] = step()
        print(f"training step: {results['training_step']}", flush=True)
        results["stages"] = stages(copy_project(folder / "copy"))
    result_files.save("profiles", results)


if __name__ == "__main__":
    main()
