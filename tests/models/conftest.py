"""A tiny data set on disk in which sound and picture belong together: a band of the spectrogram, a bar in the picture."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import dataset

AUDIO = SimpleNamespace(sample_rate=1000, hop_length=10, window_seconds=0.2, feature="mel")
VIDEO = SimpleNamespace(window_frames=1)
KINDS = 8


def write(folder, counts=(48, 16, 16), frames=3, size=(32, 32), shard_size=16, seed=0, kinds=KINDS):
    """Shards, indexes and tables under `folder`. Clip i is of kind i % kinds: its band and its bar's place."""
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
                    "seconds": 0.4,
                }
                rows.append(
                    account | ({"times": list(np.linspace(0.05, 0.35, frames))} if name == "frames" else {})
                )
        pq.write_table(pa.Table.from_pylist(rows), folder / name / "index.parquet")
    splits = np.repeat(["train", "val", "test"], counts)
    pq.write_table(pa.table({"clip_id": ids, "split": splits, "group": ids}), folder / "splits.parquet")
    labels = [[f"kind{k}"] for k in kind]
    pq.write_table(
        pa.table({"clip_id": ids, "labels": labels, "subject": ["me"] * n}), folder / "clips.parquet"
    )
    return folder


def load(folder, video=VIDEO):
    return dataset.load(
        folder / "spectrogram",
        folder / "frames",
        folder / "splits.parquet",
        folder / "clips.parquet",
        AUDIO,
        video,
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def data(folder):
    return load(folder)
