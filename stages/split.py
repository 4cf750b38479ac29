"""The stage split: assign the clips to train, val and test.

All clips of one video, or of one subject, and copies of each other, are in the same split.
"""

from collections import Counter
from pathlib import Path

from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset.duplicates import count_divided, read_quality
from pipeline.dataset.split import one_sided_note, split_clips, split_size_warnings
from pipeline.store import clip_table
from pipeline.store.atomic import write_table
from pipeline.store.status import OK


def split() -> None:
    """Write data/splits.parquet: the split of each clip, or the reason why it has none. Print the numbers."""
    params = load("split")
    clips = clip_table.read("data/clips.parquet")
    quality = read_quality(clips)
    table = split_clips(clips, quality, params)
    write_table(table, Path("data/splits.parquet"))
    counts = Counter(table["split"].to_pylist())
    failures = Counter(status for status in table["status"].to_pylist() if status != OK)
    for warning in split_size_warnings(table, clips, params.split):
        print(f"split: warning: {warning}")
    if params.modality == "both" and (note := one_sided_note(table)):
        print(f"split: {note}")
    if n_divided := count_divided(quality, table["split"]):
        print(f"split: warning: {n_divided} clips have copies in another split, since the source splits them")
    sizes = [f"{counts[name]} {name}" for name in clip_table.SPLITS]
    sizes += [f"{n} {status}" for status, n in sorted(failures.items())]
    print(f"split: {len(table)} clips in, {', '.join(sizes)}")


if __name__ == "__main__":
    run(split)
