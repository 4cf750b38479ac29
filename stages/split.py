"""Split the clips into train, val and test by video or by subject: each of these is in one split only."""

from collections import Counter
from pathlib import Path

from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset.split import assign_splits, split_size_warnings
from pipeline.store import clip_table as clips
from pipeline.store.atomic import write_table
from pipeline.store.shards import read_index


def split() -> None:
    params = load("split")
    clip_table = clips.read("data/clips.parquet")
    table = assign_splits(
        clip_table,
        read_index("data/spectrogram"),
        read_index("data/faces" if params.input == "face" else "data/frames"),
        params.split,
        params.audio.window_seconds,
    )
    write_table(table, Path("data/splits.parquet"))
    counts = Counter(table["split"].to_pylist())
    reasons = Counter(s for s in table["status"].to_pylist() if s != "ok")
    excluded = "".join(f", {n} {reason}" for reason, n in sorted(reasons.items()))
    for line in split_size_warnings(table, clip_table, params.split):
        print(f"split: warning: {line}")
    print(f"split: {len(table)} clips in, " + ", ".join(f"{counts[s]} {s}" for s in clips.SPLITS) + excluded)


if __name__ == "__main__":
    run(split)
