"""Is the synthetic data honest? Can sound be matched to picture without shape and timbre?

`python -m benchmarks.honesty [clips]` does three things, prints a line for each and keeps them in
benchmarks/results/honesty.json:

- renders the synthetic clips in memory, keeps of each only its mean colour and its loudness, and lets
  logistic regression tell a clip's own sound from that of another instrument: no better than 60%;
- reads what the default model of the last `dvc repro` reached: far above both others, and not 100%;
- trains the default model on clips whose sounds were dealt out anew: chance.

Exit status 1 where one of them is broken.
"""

import io
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import result_files
from models import checkpoint
from models.evaluation import evaluation
from models.evaluation.result import Settings
from models.training.experiment import configure_experiment, select_input_params
from models.training.loop import train
from pipeline.config import ROOT, DataParams, read
from pipeline.config.data import EnsembleParams
from pipeline.dataset import dataset
from pipeline.dataset.dataset import Dataset
from pipeline.sources import ensemble

LIMIT = 0.60  # accuracy that mean colour and loudness may reach; guessing has 0.50
FOLDS, ROUNDS = 5, 5


def features(number: int, data: DataParams) -> tuple[np.ndarray, np.ndarray]:
    """Of one clip: mean and spread of its red, green and blue (6,); loudness and its spread, dB (2,)."""
    with av.open(io.BytesIO(ensemble.render(number, data))) as file:
        frames, waves = [], []
        for frame in file.decode():
            if isinstance(frame, av.VideoFrame):
                frames.append(frame.to_ndarray(format="rgb24")[::4, ::4])
            else:
                waves.append(frame.to_ndarray()[0])
    pixels = np.stack(frames).reshape(-1, 3) / 255
    sound = np.concatenate(waves)
    tenth = ensemble.RATE // 10
    parts = sound[: len(sound) // tenth * tenth].reshape(-1, tenth)
    level = 10 * np.log10(np.mean(parts**2, 1) + 1e-9)
    loud = 10 * np.log10(np.mean(sound**2) + 1e-9)
    return np.r_[pixels.mean(0), pixels.std(0)], np.r_[loud, level.std()]


def pair_features(picture: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Features of pairs, standardized (n, p) and (n, s): each, all products, all absolute differences."""
    products = picture[:, :, None] * sound[:, None]
    gaps = np.abs(picture[:, :, None] - sound[:, None])
    n = len(picture)
    return np.hstack([picture, sound, products.reshape(n, -1), gaps.reshape(n, -1)])


def pair_with_other_labels(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each clip one of another label; every clip is chosen once, so that none speaks for itself."""
    names = rng.permutation(np.unique(labels))
    order = np.concatenate([rng.permutation(np.flatnonzero(labels == name)) for name in names])
    largest_class = max(np.sum(labels == name) for name in names)
    partners = np.empty(len(labels), int)
    partners[order] = np.roll(order, largest_class)
    return partners


def evaluate_pairs(picture: np.ndarray, sound: np.ndarray, labels: np.ndarray) -> dict:
    """Cross-validated accuracy of logistic regression on balanced pairs, with its 95% bootstrap interval."""
    rng = np.random.default_rng(0)
    picture, sound = StandardScaler().fit_transform(picture), StandardScaler().fit_transform(sound)
    is_correct = np.zeros((ROUNDS, len(labels), 2))
    for hits in is_correct:
        fold = rng.permutation(len(labels)) % FOLDS
        pairs: list[tuple[np.ndarray, np.ndarray]] = []
        for k in range(FOLDS):
            test_clips = np.flatnonzero(fold == k)
            pairs.append((test_clips, test_clips[pair_with_other_labels(labels[test_clips], rng)]))

        def make_pairs(parts, pairs=pairs):
            clips, partners = (np.concatenate([pairs[k][i] for k in parts]) for i in (0, 1))
            positives, negatives = (
                pair_features(picture[clips], sound[clips]),
                pair_features(picture[clips], sound[partners]),
            )
            return np.vstack([positives, negatives]), np.r_[np.ones(len(clips)), np.zeros(len(clips))]

        for k in range(FOLDS):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
            model.fit(*make_pairs([j for j in range(FOLDS) if j != k]))
            x, truth = make_pairs([k])
            hits[pairs[k][0]] = (model.predict(x) == truth).reshape(2, -1).T
    clip = is_correct.mean((0, 2))
    means = [clip[rng.integers(len(clip), size=len(clip))].mean() for _ in range(2000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return {"accuracy": round(float(clip.mean()), 4), "ci": [round(float(low), 4), round(float(high), 4)]}


def evaluate_colour_and_loudness(clips: int, seed: int = 0) -> dict:
    """The part about mean colour and loudness, and the same with the spread of both added."""
    changes = {"ensemble": EnsembleParams(clips=clips, seed=seed, broken=0.0, faults=0.0, negatives=0)}
    data = read(ROOT / "params.yaml").data.model_copy(update=changes)
    labels = np.array([row["labels"][0] for row in ensemble.clips(data).table.to_pylist()])
    start = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        clip_features = list(pool.map(partial(features, data=data), range(clips), chunksize=8))
    seconds = time.perf_counter() - start
    picture, sound = (np.stack([f[i] for f in clip_features]) for i in (0, 1))
    return {
        "clips": clips,
        "render_seconds": round(seconds, 1),
        "limit": LIMIT,
        "mean": evaluate_pairs(picture[:, :3], sound[:, :1], labels),
        "mean_and_spread": evaluate_pairs(picture, sound, labels),
    }


def shuffle_sounds(data: Dataset, seed: int) -> Dataset:
    """`data`, its training and validation clips with each other's sounds; the test is as it was."""
    rng = np.random.default_rng(seed)
    source = np.arange(len(data))
    for split in ("train", "val"):
        clips = data.indices(split)
        source[clips] = rng.permutation(clips)
    # A window must be usable in the sound and in the picture that it is now with.
    seconds = np.minimum(data.seconds, data.seconds[source])
    return replace(data, audio=data.audio.take(source), seconds=seconds)


def evaluate_shuffled_sounds() -> dict:
    """The test accuracy of the default model when it learnt from pairs that do not belong together."""
    params = read()
    data = dataset.load("data", params.audio, params.video)
    with tempfile.TemporaryDirectory() as out:
        train(
            configure_experiment(params),
            shuffle_sounds(data, params.seed),
            settings=params.train,
            augmentation=params.augment,
            inputs=select_input_params(params),
            out=out,
            curves=Path(out) / "live",
            fingerprint="honesty",
        )
        model = checkpoint.load(out)
    result = evaluation.evaluate(model, data, Settings.from_params(params))
    return _select_metrics(result.metrics)


def _select_metrics(metrics: dict) -> dict:
    correspondence = metrics["correspondence"]
    return {name: correspondence[name] for name in ("accuracy", "auc", "n")} | {"ci": correspondence["ci"]}


def main(argv: list[str]) -> int:
    simple = evaluate_colour_and_loudness(int(argv[0]) if argv else 400)
    default = _select_metrics(json.loads(Path("metrics/evaluate.json").read_text(encoding="utf-8")))
    shuffled = evaluate_shuffled_sounds()
    results = {"colour_and_loudness": simple, "default_model": default, "sounds_dealt_anew": shuffled}
    result_files.save("honesty", results)
    low, high = shuffled["ci"]["accuracy"]
    upper_bound = max(simple["mean"]["ci"][1], high)
    parts = [
        ("mean colour and loudness", simple["mean"], simple["mean"]["accuracy"] <= LIMIT),
        ("with their spread", simple["mean_and_spread"], True),
        ("the default model", default, upper_bound < default["accuracy"] < 1),
        ("the same, sounds dealt out anew", shuffled, low <= 0.5 <= high),
    ]
    for name, part, is_expected in parts:
        ci = part["ci"] if isinstance(part["ci"], list) else part["ci"]["accuracy"]
        interval = f"95% {ci[0]:.1%} to {ci[1]:.1%}"
        print(
            f"honesty: {name}: {part['accuracy']:.1%} right ({interval}): {'ok' if is_expected else 'BROKEN'}"
        )
    return 0 if all(is_expected for *_, is_expected in parts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
