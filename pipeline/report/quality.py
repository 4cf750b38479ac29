"""The section of the report on data/quality.parquet: faults, distributions, and examples of copies."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.report import data_uri
from pipeline.store.formats import read_table
from pipeline.store.status import STATUSES
from pipeline.store.values import read_arrays

MAX_GROUPS, MAX_COPIES = 6, 4  # groups of copies, and clips of each, that the page shows
QUANTILES = (0.05, 0.5, 0.95)
MEASURES = {  # column -> what it is
    "silence": "share of the sound that is silent",
    "loudness": "loudness, LUFS",
    "clipping": "share of samples at full scale",
    "bandwidth": "bandwidth, Hz",
    "audio_seconds": "sound, s",
    "change": "change between frames",
    "motion": "change of the part that changes most",
    "black": "share of black frames",
    "letterbox": "share of black bars",
    "cuts": "cuts between frames",
    "video_seconds": "picture, s",
}


def collect_quality(frames_index: pa.Table) -> dict[str, Any]:
    """Read the data of the section. frames_index: of the stage `frames`.

    Returns {"flags": {flag: clips}, "measures": [(text, quantiles)], "groups": number of groups of copies,
    "copies": for some groups, [{"clip_id", "image": (H, W, 3) uint8}] of their first clips}.
    """
    table = read_table(Path("data/quality.parquet"))
    with open("metrics/quality.csv", newline="", encoding="utf-8") as f:
        flags = {row["fault"]: int(row["clips"]) for row in csv.DictReader(f)}
    measures = [
        (text, pc.quantile(values, list(QUANTILES)).to_pylist())
        for name, text in MEASURES.items()
        if len(values := pc.drop_null(table[name]))
    ]
    sizes = pc.value_counts(pc.drop_null(table["group"])).to_pylist()
    largest = sorted(sizes, key=lambda size: (-size["counts"], size["values"]))[:MAX_GROUPS]
    copies = []
    for size in largest:
        ids = table["clip_id"].filter(pc.equal(table["group"], size["values"])).to_pylist()[:MAX_COPIES]
        frames = read_arrays("data/frames", ids, frames_index)
        copies.append([{"clip_id": i, "image": np.array(frames[i][0])} for i in ids if i in frames])
    return {"flags": flags, "measures": measures, "groups": len(sizes), "copies": copies}


def prepare_quality(quality: dict) -> dict | None:
    """Return what the template quality.html shows, with widths of bars in %; None without data.

    quality: as of `collect_quality`.
    """
    if not quality:
        return None
    largest = max(1, *quality["flags"].values())
    bars = [
        {"label": flag, "count": count, "width": f"{100 * count / largest:.2f}", "text": STATUSES[flag]}
        for flag, count in quality["flags"].items()
    ]
    measures = [(text, [f"{value:.4g}" for value in values]) for text, values in quality["measures"]]
    copies = [
        [{"id": clip["clip_id"], "image": data_uri.jpeg_uri(clip["image"], max_side=160)} for clip in group]
        for group in quality["copies"]
        if group
    ]
    return {"bars": bars, "measures": measures, "groups": quality["groups"], "copies": copies}
