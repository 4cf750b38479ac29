"""Precision, recall and cost of the stage `quality`: `python -m benchmarks.quality [--clips N]`.

- `detection`: each flag on synthetic clips with faults that are known by construction
  (`data.ensemble.faults`); copies of each kind that are found by sound, by picture and by either; the
  precision of all pairs.
- `cost`: ms per clip of 10 s as AudioSet has them, of `wav` and `frames` and of the steps of quality.

`--table` prints the kept results as Markdown.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import films, result_files
from pipeline.config import ROOT, read
from pipeline.media.files import Media
from pipeline.media.frames import FramesStep
from pipeline.media.wav import WavStep
from pipeline.quality import duplicates
from pipeline.quality.picture import VideoQualityStep
from pipeline.quality.sound import AudioQualityStep
from pipeline.store.status import Outcome
from testing import defaults
from testing.quality import measure_flags, render_clips

RESULT = ROOT / "benchmarks/results/quality.json"
SHARE = 0.7  # of the clips that have a fault


@dataclass
class Cost:
    """ms of processor time that each step takes for a clip."""

    wav: float
    frames: float
    audio_quality: float
    video_quality: float
    search: float

    @property
    def share(self) -> float:
        """The cost of quality as a share of that of `wav` and `frames`."""
        return (self.audio_quality + self.video_quality + self.search) / (self.wav + self.frames)


def measure_cost(n_films: int = 16, count: int = 64) -> dict[str, Any]:
    """Measure the steps in this process, on clips of 10 s as AudioSet has them (benchmarks/films.py).

    n_films: different ones, which are taken in turn until there are `count` clips.
    """
    params = read(defaults.PARAMS)
    seconds = float(films.SECONDS)
    steps = WavStep(params.audio, seconds), FramesStep(params.video, seconds)
    quality = AudioQualityStep(seconds), VideoQualityStep(params.video.frames)
    clip = {"clip_id": "c", "start": None, "end": None}
    with tempfile.TemporaryDirectory(prefix="earsight-quality-") as folder:
        paths = films.write_videos(Path(folder), n_films, films.segment)
        media = [Media(str(path), str(path)) for path in paths] * (count // n_films)
        ms: list[float] = []
        values: list[list] = []
        for step, inputs in ((steps[0], media), (steps[1], media)):
            list(step([clip], inputs[:1]))  # imports
            took, outcomes = _time(step([clip] * count, inputs))
            ms.append(took / count)
            values.append([outcome.value for outcome in outcomes])
        codes: list[np.ndarray] = []
        for quality_step, inputs in zip(quality, values, strict=True):
            list(quality_step([clip], inputs[:1]))
            took, outcomes = _time(quality_step([clip] * count, inputs))
            ms.append(took / count)
            codes.append(np.stack([outcome.value for outcome in outcomes]))
    for n_searched in (2, n_films):  # the first search imports what it needs
        start = time.process_time()
        duplicates.find_sounds(codes[0][:n_searched], np.full(n_searched, codes[0].shape[1]))
        duplicates.find_pictures(codes[1][:n_searched])
    cost = Cost(*ms, search=1000 * (time.process_time() - start) / n_films)
    return {"clips": count, "seconds": seconds, "ms": {k: round(v, 2) for k, v in vars(cost).items()}} | {
        "share": round(cost.share, 3)
    }


def _time(outcomes: Iterable[Outcome]) -> tuple[float, list[Outcome]]:
    """Run a step. Return ms of processor time and the outcomes."""
    start = time.process_time()
    result = list(outcomes)
    return 1000 * (time.process_time() - start), result


def table(results: dict) -> str:
    """Return the results as Markdown."""
    lines = ["| flag | clips | precision | recall |", "| --- | ---: | ---: | ---: |"]
    for flag, score in results["flags"].items():
        lines.append(f"| `{flag}` | {score['n']} | {score['precision']:.3f} | {score['recall']:.3f} |")
    lines += [
        "",
        "| copy | clips | by sound | by picture | by either |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for kind, score in results["copies"].items():
        values = " | ".join(f"{score[name]:.3f}" for name in ("sound", "picture", "recall"))
        lines.append(f"| {kind} | {score['n']} | {values} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.formatter_class = argparse.RawTextHelpFormatter
    parser.add_argument("--clips", type=int, default=480)
    parser.add_argument("--only", choices=["detection", "cost"])
    parser.add_argument("--table", action="store_true", help="of the kept results, for docs/quality.md")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(RESULT.read_text(encoding="utf-8"))["detection"]))
        return
    results = json.loads(RESULT.read_text(encoding="utf-8")) if options.only and RESULT.exists() else {}
    if options.only != "cost":
        results["detection"] = measure_flags(render_clips(options.clips, SHARE, seed=1))
        print(table(results["detection"]))
    if options.only != "detection":
        results["cost"] = measure_cost()
        print(f"cost: {results['cost']}")
    result_files.save("quality", results, options.only)


if __name__ == "__main__":
    main()
