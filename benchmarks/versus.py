"""Beside what published code does, on the same media, in the same run: `python -m benchmarks.versus`.

- `sound`: FLV to WAV to mel spectrogram as studies of CREMA-D do it: a process of ffmpeg for each clip,
  librosa, and the spectrogram saved as a picture by matplotlib (beside it: as .npy). Ours: `wav`,
  `spectrogram`.
- `frames`: ten frames of each clip as CAV-MAE's preparation takes them: OpenCV, a seek for each, scaled to
  224, a JPEG each. Ours: `frames` with ten of 224 x 224.
- `step`: a training step of AVE-Net at the paper's size, in single precision and PyTorch's default layout.
  Ours: the same network as `train` runs it here.
- `retrieval`: nDCG@30, recall@10 and mAP of every query in four directions, by a loop over pairs with the
  Euclidean distance of each, as AVE-Net ranks. Ours: pipeline.metrics.retrieval, which has more of them.

Whole processes, their start included. Ours has a worker for each core, as it has without being asked; what
is published goes through the clips one by one.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import films, result_files
from pipeline.config import ROOT
from pipeline.media import ffmpeg
from testing import commands

RESULT = Path("benchmarks/results/versus.json")
GOALS = {"sound": 10, "frames": 15, "step": 2.5, "retrieval": 100}
FRAMES, SIDE = 10, 224
CLIPS, DIM, LABELS = 1000, 128, 50  # of retrieval
METRIC_NAMES = ("ndcg_30", "recall_10", "map")


# --- what published code does -----------------------------------------------------------------------


def plain_sound(folder: Path, paths: list[Path], picture: bool) -> None:
    """FLV to WAV to mel spectrogram, 224 x 224 as a picture: 22,050 Hz, n_fft 2,048, hop 512, 128 mels."""
    import librosa
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for path in paths:
        wav = folder / f"{path.stem}.wav"
        command = [ffmpeg.binary(), "-y", "-loglevel", "error", "-i", path, "-ac", "1", wav]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        sound, rate = librosa.load(wav, sr=22050)
        mel = librosa.feature.melspectrogram(y=sound, sr=rate, n_fft=2048, hop_length=512, n_mels=128)
        decibels = librosa.power_to_db(mel, ref=np.max)
        if picture:
            figure = pyplot.figure(figsize=(2.24, 2.24), dpi=100)
            axes = figure.add_axes((0, 0, 1, 1))
            axes.axis("off")
            axes.imshow(decibels, origin="lower", aspect="auto")
            figure.savefig(folder / f"{path.stem}.png")
            pyplot.close(figure)
        else:
            np.save(folder / f"{path.stem}.npy", decibels)


def plain_frames(folder: Path, paths: list[Path]) -> None:
    """Ten evenly spaced frames of each clip: a seek for each, the shorter side to 224, its middle, a JPEG."""
    import cv2

    for path in paths:
        for number in range(FRAMES):
            capture = cv2.VideoCapture(str(path))
            count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            capture.set(cv2.CAP_PROP_POS_FRAMES, int((number + 0.5) * count / FRAMES))
            _, picture = capture.read()
            capture.release()
            scale = SIDE / min(picture.shape[:2])
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            top, left = (picture.shape[0] - SIDE) // 2, (picture.shape[1] - SIDE) // 2
            place = folder / f"frame_{number}"
            place.mkdir(exist_ok=True)
            cv2.imwrite(str(place / f"{path.stem}.jpg"), picture[top : top + SIDE, left : left + SIDE])


def plain_retrieval(vectors: dict[str, np.ndarray], labels: list[set[str]]) -> dict[str, dict]:
    """nDCG@30, recall@10 and mAP by a loop over queries and candidates, in four directions."""
    results: dict[str, dict] = {}
    for source, target in ((a, b) for a in vectors for b in vectors):
        gains, recalls, precisions = [], [], []
        for i, query in enumerate(vectors[source]):
            scored = [
                (float(np.linalg.norm(query - candidate)), len(labels[i] & labels[j]), j)
                for j, candidate in enumerate(vectors[target])
                if source != target or i != j
            ]
            scored.sort(key=lambda one: one[0])
            relevant = [gain for _, gain, j in scored if j != i]  # its own clip is another question
            best = sorted(relevant, reverse=True)
            ideal = sum(gain / math.log2(rank + 2) for rank, gain in enumerate(best[:30]))
            got = sum(gain / math.log2(rank + 2) for rank, gain in enumerate(relevant[:30]))
            gains.append(got / ideal if ideal else 0.0)
            recalls.append(any(relevant[:10]) if source == target else i in [j for *_, j in scored[:10]])
            hits, total = 0, 0.0
            for rank, gain in enumerate(relevant):
                if gain:
                    hits += 1
                    total += hits / (rank + 1)
            precisions.append(total / hits if hits else 0.0)
        means = [float(np.mean(one)) for one in (gains, recalls, precisions)]
        results[f"{source}_to_{target}"] = dict(zip(METRIC_NAMES, means, strict=True))
    return results


# --- the comparisons ----------------------------------------------------------------------------------


def seconds_of_plain(name: str, folder: Path, paths: list[Path]) -> float:
    """Seconds of a process that does one of the above."""
    words = [sys.executable, "-m", "benchmarks.versus", f"--plain={name}", str(folder), *map(str, paths)]
    folder.mkdir()
    return commands.measure_command(ROOT, words).wall


def stages(folder: Path, paths: list[Path], names: tuple[str, ...], knobs: dict) -> float:
    """Seconds of the stages over these films, everything included."""
    commands.write_project(folder, paths, len(paths), len(os.sched_getaffinity(0)), **knobs)
    commands.measure_stage(folder, "download")
    costs = [commands.measure_stage(folder, name) for name in names]
    for cost in costs:
        if f"{len(paths)} clips in, {len(paths)} ok" not in cost.output:
            raise RuntimeError(cost.output)
    return sum(cost.wall for cost in costs)


def sound(folder: Path, count: int) -> dict:
    paths = films.write_videos(folder / "films", count)
    mels = {"sample_rate": 22050, "n_fft": 2048, "win_length": 2048, "hop_length": 512, "n_mels": 128}
    knobs = {f"audio.{name}": value for name, value in mels.items()}
    ours = stages(folder / "ours", paths, ("wav", "spectrogram"), knobs)
    picture = seconds_of_plain("sound", folder / "plain", paths)
    array = seconds_of_plain("sound_array", folder / "plain_array", paths)
    return _comparison(count, ours, picture) | {
        "plain_saved_as_npy_s": round(array, 2),
        "times_saved_as_npy": round(array / ours, 2),
        "films": films.ABOUT,
    }


def frames(folder: Path, count: int) -> dict:
    paths = films.write_videos(folder / "films", count, films.segment)
    video = {"frames": FRAMES, "height": SIDE, "width": SIDE, "window_frames": 1}
    knobs = {f"video.{name}": value for name, value in video.items()}
    ours = stages(folder / "ours", paths, ("frames",), knobs | {"data.clip_seconds": float(films.SECONDS)})
    return _comparison(count, ours, seconds_of_plain("frames", folder / "plain", paths)) | {
        "films": films.ABOUT_SEGMENTS
    }


def retrieval() -> dict:
    from pipeline.metrics import retrieval as fast

    rng = np.random.default_rng(0)
    audio = rng.normal(size=(CLIPS, DIM)).astype(np.float32)
    video = audio + 2 * rng.normal(size=(CLIPS, DIM)).astype(np.float32)
    vectors = {
        s: v / np.linalg.norm(v, axis=1, keepdims=True) for s, v in (("audio", audio), ("video", video))
    }
    labels = [[f"class {i}"] for i in rng.integers(0, LABELS, CLIPS)]
    start = time.perf_counter()
    metrics = fast.evaluate(vectors, labels, None, 0, 0)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    slow = plain_retrieval(vectors, [set(one) for one in labels])
    plain = time.perf_counter() - start
    for direction, means in slow.items():
        for name, mean in means.items():
            if abs(metrics[direction][name] - mean) > 1e-5:
                raise RuntimeError(f"{direction}: {name}: {metrics[direction][name]}, by the loop {mean}")
    return {
        "clips": CLIPS,
        "ours_s": round(ours, 3),
        "plain_s": round(plain, 2),
        "times": round(plain / ours, 1),
    }


def _comparison(clips: int, ours: float, plain: float) -> dict:
    return {
        "clips": clips,
        "ours_s": round(ours, 2),
        "plain_s": round(plain, 2),
        "times": round(plain / ours, 2),
    }


# --- a training step of AVE-Net -------------------------------------------------------------------------


def _ours() -> "torch.nn.Module":  # noqa: F821
    import torch

    from models import checkpoint
    from pipeline.config import read

    torch.manual_seed(0)
    train = read(ROOT / "params.yaml").train.model_dump()
    config = {
        "task": "matching",
        "modality": "both",
        "audio_encoder": "avenet",
        "video_encoder": "avenet",
        "encoder": None,
        "loss": "bce",
        "matcher": "distance",
        "pairing": "clip",
        "input": "frame",
        "encoders": {"audio": {}, "video": {}},
        "constants": {},
        "train": train,
        "audio_shape": [1, 257, 200],
        "video_shape": [1, SIDE, SIDE, 3],
    }
    module = checkpoint.build(config)
    module.steps = 1000
    return module


def _plain() -> "torch.nn.Module":  # noqa: F821
    """The network as one writes it down: figure 2 of the paper, a linear layer on the distance, softmax."""
    import torch
    from torch import nn

    def tower(channels: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for block, width in enumerate((64, 128, 256, 512)):
            for number in range(2):
                stride = 2 if block == number == 0 else 1
                layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2) if block < 3 else nn.AdaptiveMaxPool2d(1))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, DIM), nn.ReLU(), nn.Linear(DIM, DIM))

    class AveNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.audio, self.video, self.last = tower(1), tower(3), nn.Linear(1, 2)

        def forward(self, audio: torch.Tensor, video: torch.Tensor) -> torch.Tensor:
            normalize = torch.nn.functional.normalize
            distance = (normalize(self.audio(audio)) - normalize(self.video(video))).norm(dim=1, keepdim=True)
            return self.last(distance)

    return AveNet()


def step(batch: int, rounds: int) -> dict:
    """Both in this process, by turns, from stored windows (float16, uint8) to updated weights.

    Both put as many sounds and pictures through their towers. The plain way has one pair of each picture,
    half of them wrong; ours has two, a right one and a wrong one.
    """
    import torch
    from torch.nn import functional as F

    from models.training.precision import lightning_precision

    module, plain = _ours(), _plain()
    optimizer = module.configure_optimizers()["optimizer"]
    plain_optimizer = torch.optim.Adam(plain.parameters(), lr=1e-4, weight_decay=1e-5)
    audio = torch.randn(batch, 1, 257, 200).half()
    video = torch.randint(0, 256, (batch, 1, SIDE, SIDE, 3), dtype=torch.uint8)
    order = torch.arange(batch)
    pairs = {"positive": order, "negative": order.roll(1), "related": torch.eye(batch, dtype=torch.bool)}
    bf16 = lightning_precision("auto") == "bf16-mixed"

    def ours() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = sum(module.compute_losses(*module.embed_pair(audio, video), pairs))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def half(which: slice, target: int) -> tuple[torch.Tensor, torch.Tensor]:
        sound = audio[which].float()
        if not target:
            sound = sound.roll(1, 0)
        picture = video[which, 0].permute(0, 3, 1, 2).float() / 255
        return sound, picture

    def plain_step() -> None:
        """A batch of as many pairs: half of them match."""
        middle = batch // 2
        right, wrong = half(slice(middle), 1), half(slice(middle, None), 0)
        sound, picture = (torch.cat(x) for x in zip(right, wrong, strict=True))
        target = torch.tensor([1] * middle + [0] * (batch - middle))
        loss = F.cross_entropy(plain(sound, picture), target)
        plain_optimizer.zero_grad()
        loss.backward()
        plain_optimizer.step()

    module.train()
    for one in (ours, plain_step):
        commands.measure_seconds(one)
    times = [(commands.measure_seconds(ours), commands.measure_seconds(plain_step)) for _ in range(rounds)]
    return {
        "batch": batch,
        "rounds": rounds,
        "precision": lightning_precision("auto"),
        "ours_s": round(statistics.median(t for t, _ in times), 3),
        "plain_s": round(statistics.median(t for _, t in times), 3),
        "times": round(statistics.median(p / o for o, p in times), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.versus", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=1600, help="of sound; a quarter of it of frames")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(GOALS))
    parser.add_argument("--plain", help=argparse.SUPPRESS)  # one of the plain ways, in a process of its own
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        folder, *paths = options.paths
        if options.plain == "frames":
            plain_frames(folder, paths)
        else:
            plain_sound(folder, paths, picture=options.plain == "sound")
        return
    results = json.loads(RESULT.read_text()) if options.only and RESULT.exists() else {}
    with tempfile.TemporaryDirectory(prefix="earsight-versus-") as name:
        folder = Path(name)
        measurements: dict[str, Callable[[], dict]] = {
            "sound": lambda: sound(folder / "sound", options.clips),
            "frames": lambda: frames(folder / "frames", options.clips // 4),
            "step": lambda: step(options.batch, options.rounds),
            "retrieval": retrieval,
        }
        for what, measure in measurements.items():
            if options.only in (None, what):
                results[what] = measure() | {"goal": GOALS[what]}
                print(f"{what}: {results[what]}", flush=True)
    result_files.save("versus", results, options.only)


if __name__ == "__main__":
    main()
