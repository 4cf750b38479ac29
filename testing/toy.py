"""A tiny data set on disk: a band of the spectrogram and a bar in the picture show which kind a clip is."""

import json
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from models.tasks import tasks
from models.tasks._experiment import Experiment
from models.training.experiment import configure_experiment
from pipeline.config import read
from pipeline.config.train import AugmentParams, TrainParams
from pipeline.dataset import dataset
from pipeline.dataset.windows import Segments
from testing import defaults

AUDIO = SimpleNamespace(sample_rate=1000, hop_length=10, window_seconds=0.2, feature="mel")
VIDEO = SimpleNamespace(window_frames=1)
INPUTS = {
    "audio": vars(AUDIO)  # a feature of the shape that `write` makes up
    | {"dtype": "float16", "n_mels": 16, "n_fft": 64, "win_length": 64, "fmin": 0.0, "fmax": None},
    "video": {"training_frame": "middle"},
    "faces": {},
    "clip_seconds": 0.4,
}
KINDS = 8
PARAMS = read(defaults.PARAMS)
AUGMENT = PARAMS.augment
NO_AUGMENT = AugmentParams(
    crop=1.0,
    flip=False,
    brightness=[1.0, 1.0],
    saturation=[1.0, 1.0],
    loudness=0.0,
    mask_freq=0.0,
    mask_time=0.0,
    noise=0.0,
    roll=False,
)


def write(folder, counts=(48, 16, 16), frames=3, size=(32, 32), shard_size=16, seed=0, kinds=KINDS):
    """Shards, indexes and tables under `folder`. Clip i is of kind i % kinds: its band, its bar's place."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    kind = np.arange(n) % kinds
    sound = rng.normal(-40, 5, (n, 1, 16, 41)).astype(np.float16)
    picture = rng.integers(0, 120, (n, frames, *size, 3)).astype(np.uint8)
    for i, k in enumerate(kind):
        sound[i, :, 2 * k : 2 * k + 2] += 30
        picture[i, :, :, 4 * k : 4 * k + 4] += 120
    ids = [f"clip{i:03d}" for i in range(n)]
    for name, values in (("spectrogram", sound), ("frames", picture)):
        (folder / name).mkdir(parents=True)
        rows = []
        for shard, start in enumerate(range(0, n, shard_size)):
            np.save(folder / name / f"{shard:05d}.npy", values[start : start + shard_size])
            for row, clip in enumerate(ids[start : start + shard_size]):
                account = {
                    "clip_id": clip,
                    "shard": shard,
                    "row": row,
                    "status": "ok",
                    "detail": "",
                    "digest": "",
                    "seconds": 0.4,
                }
                rows.append(
                    account | ({"times": list(np.linspace(0.05, 0.35, frames))} if name == "frames" else {})
                )
        pq.write_table(pa.Table.from_pylist(rows), folder / name / "index.parquet")
    splits = np.repeat(["train", "val", "test"], counts)
    pq.write_table(
        pa.table({"clip_id": ids, "split": splits, "group": ids, "recording": ids}), folder / "splits.parquet"
    )
    labels = [[f"kind{k}"] for k in kind]
    (folder / "statistics.json").write_text('{"mean": -38.0, "std": 10.0}')
    pq.write_table(
        pa.table({"clip_id": ids, "labels": labels, "subject": ["me"] * n}), folder / "clips.parquet"
    )
    return folder


def load(folder, video=VIDEO, audio=AUDIO, with_features=False):
    return dataset.load(folder, audio, video, with_features=with_features)


TOWERS = {side: {"timm/test_resnet": {}} for side in ("audio", "video")}


def write_features(folder, segment_seconds=None, hop_seconds=None, networks=TOWERS):
    """Write the features of networks of all clips. Return the field `towers` of an experiment."""
    from models.inference.towers_step import load_towers

    data = load(folder)
    segments = Segments.from_seconds(segment_seconds, hop_seconds, data.windows)
    for side, arrays, division in (("audio", data.audio, segments), ("video", data.video, None)):
        if side not in networks:
            continue
        towers = load_towers(side, json.dumps(networks[side]), arrays.shape[1:], division).module
        values = [towers(torch.from_numpy(np.array(arrays[i]))[None])[0] for i in range(len(data))]
        (folder / f"{side}_features").mkdir()
        np.save(folder / f"{side}_features/00000.npy", torch.stack(values).half().numpy())
        rows = [
            {"clip_id": clip, "shard": 0, "row": row, "status": "ok", "digest": f"{row}"}
            for row, clip in enumerate(data.clip_id)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{side}_features/index.parquet")
    return networks | {"segment_seconds": segment_seconds, "hop_seconds": hop_seconds}


def settings(**changes) -> TrainParams:
    """The default ones, but for small sizes and `changes`."""
    values = {
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
        "precision": "32-true",
        "embedding_dim": 16,
    }
    return TrainParams(**PARAMS.train.model_dump() | values | changes)


def experiment(**changes) -> Experiment:
    """The default experiment, but for `changes`, and for small networks where they name none."""
    if "encoders" not in changes:
        sizes: dict[str, dict] = {"audio": {}, "video": {}, "joint": {}}
        if "audio_encoder" not in changes:
            sizes["audio"] = {"width": 8}
        if "video_encoder" not in changes:
            changes["video_encoder"], sizes["video"] = "cnn", {"widths": [8, 8], "dropout": 0.0}
        changes["encoders"] = sizes
    names = {f.name for f in fields(tasks.get(changes.get("task", PARAMS.task)).experiment_type)}
    return configure_experiment(PARAMS, **{name: value for name, value in changes.items() if name in names})


def train(data, folder, setup=None, augmentation=NO_AUGMENT, fingerprint="x", **changes):
    """Train `setup`, or the default experiment, with `settings(**changes)`: folder/out and folder/live.

    `start` among the changes is the folder of a model.
    """
    from models.training.initial import Start
    from models.training.loop import train  # and Lightning: not where data alone are needed

    start = changes.get("start")

    return train(
        setup or experiment(),
        data,
        settings=settings(**changes),
        augmentation=augmentation,
        inputs=INPUTS,
        out=Path(folder) / "out",
        curves=Path(folder) / "live",
        fingerprint=fingerprint,
        start=Start("train.start", start, Path(start)) if start else None,
    )


if __name__ == "__main__":  # trains in a process of its own, so that it can be killed, or start others
    from models.training import recorder
    from pipeline.store import resume

    data_folder, out, precision, *options_json = sys.argv[1:]
    options = {"epochs": 6, "precision": precision} | json.loads((options_json or ["{}"])[0])
    trial = experiment(**options.pop("experiment", {}))
    augmentation = AUGMENT if options.pop("augment", True) else NO_AUGMENT
    resume.FOLDER = f"{out}/resume"
    if options.pop("slow_saving", False):
        recorder.MAX_SAVING = 1e-9
    try:
        train(load(Path(data_folder)), out, trial, augmentation, "same", **options)
    except KeyboardInterrupt:
        sys.exit("interrupted")
