"""What AudioSet's lists hold of the 50 musical classes.

`python -m benchmarks.audioset SEGMENTS LABELS ONTOLOGY`: paths or addresses; without them those of
params.yaml. Prints how many clips there are and how skewed the classes are, and draws
docs/pictures/audioset.png.
"""

import sys
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from pipeline.config import ROOT, read
from pipeline.sources import audioset
from pipeline.store.summary import count_labels

PICTURE = Path("docs/pictures/audioset.png")


def main(paths: list[str]) -> None:
    data = read(ROOT / "params.yaml").data
    settings = dict(zip(("train", "labels", "ontology"), paths, strict=False))
    if "train" in settings:
        settings |= {"train": [settings["train"]], "eval": []}
    params = data.audioset.model_copy(update={**settings, "classes": "musical"})
    data = data.model_copy(update={"audioset": params})
    start = time.monotonic()
    table, lines = audioset.clips(data)
    counts = count_labels(table)
    (most, first), (least, last) = next(iter(counts.items())), list(counts.items())[-1]
    print(f"{len(table)} clips of {len(counts)} classes, read in {time.monotonic() - start:.1f} s")
    print(f"most: {most} {first}; least: {least} {last}; {first / last:.1f} times as many")
    for line in lines:
        print(line)
    matplotlib.use("Agg")
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    axes.bar(range(len(counts)), counts.values(), color="#b4570a")
    axes.set_xticks(range(len(counts)), counts.keys(), rotation=90, fontsize=7)
    axes.set_ylabel("clips")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1:])
