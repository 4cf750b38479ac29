"""Which clips train, choose (val) and report (test): by video or subject, never both sides of one."""

from collections import Counter
from pathlib import Path

from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset.split import assign, warnings
from pipeline.store import clip_table as clips
from pipeline.store.atomic import write_table
from pipeline.store.shards import read_index


def split() -> None:
    params = load("split")
    clip_table = clips.read("data/clips.parquet")
    table = assign(
        clip_table,
        read_index("data/spectrogram"),
        read_index("data/faces" if params.input == "face" else "data/frames"),
        params.split,
        params.audio.window_seconds,
    )
    write_table(table, Path("data/splits.parquet"))
    counts = Counter(table["split"].to_pylist())
    reasons = Counter(s for s in table["status"].to_pylist() if s != "ok")
    left = "".join(f", {n} {reason}" for reason, n in sorted(reasons.items()))
    for line in warnings(table, clip_table, params.split):
        print(f"split: warning: {line}")
    print(f"split: {len(table)} clips in, " + ", ".join(f"{counts[s]} {s}" for s in clips.SPLITS) + left)


if __name__ == "__main__":
    run(split)
