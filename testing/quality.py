"""Precision and recall of the stage `quality` on synthetic clips whose faults are known by construction."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.config import read
from pipeline.media.files import Media
from pipeline.media.frames import FramesStep
from pipeline.media.wav import WavStep
from pipeline.quality import duplicates
from pipeline.quality.fingerprint import count_codes
from pipeline.quality.picture import VideoQualityStep
from pipeline.quality.sound import AudioQualityStep
from pipeline.quality.table import FLAGS, MEASURES, SCHEMA, Groups, make_table
from pipeline.sources import ensemble
from pipeline.sources.ensemble.faults import COPIES
from pipeline.store.status import Outcome
from testing import defaults

FLAGS_OF_KIND = {  # kind of a synthetic clip -> flags that it must have; others: none
    **{flag: (flag,) for flag in FLAGS},
    "truncated": ("short",),
    **dict.fromkeys(COPIES, ("duplicate",)),
    "trimmed": ("short", "duplicate"),
}


class Clips(NamedTuple):
    """Synthetic clips after the steps: rows of the clip table, WAV files and frames (with their seconds)."""

    table: pa.Table
    wavs: list[Outcome]
    frames: list[Outcome]
    params: Any


def render_clips(count: int, share: float, seed: int, clip_seconds: float | None = None) -> Clips:
    """Render clips of the ensemble, of which `share` has a fault, and decode them."""
    params = read(defaults.PARAMS)
    settings = {"clips": count, "test_clips": 0, "negatives": 0, "faults": share, "seed": seed}
    section = params.data.ensemble.model_copy(update=settings)
    changes = {"ensemble": section, "clip_seconds": clip_seconds or params.data.clip_seconds}
    data = params.data.model_copy(update=changes)
    params = params.model_copy(update={"data": data})
    table = ensemble.clips(data).table
    wav = WavStep(params.audio, data.clip_seconds)
    picture = FramesStep(params.video, data.clip_seconds)
    wavs, frames = [], []
    with tempfile.NamedTemporaryFile(suffix=".flv") as file:
        for number, row in enumerate(table.to_pylist()):
            Path(file.name).write_bytes(ensemble.render(number, data))
            media = Media(file.name, file.name)
            wavs += wav([row], [media])
            frames += picture([row], [media])
    return Clips(table, wavs, frames, params)


def measure_flags(clips: Clips) -> dict[str, dict]:
    """Return precision, recall and number of each flag, of each kind of copy, and of the pairs."""
    params, count = clips.params, len(clips.table)
    audio_step = AudioQualityStep(params.data.clip_seconds)
    video_step = VideoQualityStep(params.video.frames)
    audio = [_run(audio_step, wav) for wav in clips.wavs]
    video = [_run(video_step, frames) for frames in clips.frames]
    lengths = [min(count_codes(a.extra.get("seconds", 0)), audio_step.layout.format.shape[0]) for a in audio]
    sounds = duplicates.find_sounds(_stack(audio, audio_step), np.array(lengths))
    pictures = duplicates.find_pictures(_stack(video, video_step))
    # As by `quality.duplicates: sound`.
    groups = Groups(*(duplicates.group_clips(p, count) for p in (sounds, pictures, sounds)))
    seconds = [
        {"audio_seconds": a.extra.get("seconds"), "video_seconds": f.extra.get("seconds")}
        for a, f in zip(audio, clips.frames, strict=True)
    ]
    rows = [a.extra | v.extra | s for a, v, s in zip(audio, video, seconds, strict=True)]
    measures = pa.Table.from_pylist(rows, pa.schema([field for field in SCHEMA if field.name in MEASURES]))
    columns = {name: measures[name] for name in MEASURES}
    table = make_table(
        clips.table, columns, groups, params.quality, params.audio.sample_rate, params.data.clip_seconds
    )
    return _score_flags(clips.table, table) | _score_pairs(
        clips.table, {"sound": sounds, "picture": pictures}
    )


def _run(step: Any, outcome: Outcome) -> Outcome:
    """Return the outcome of a step on the value of another outcome; the same if that has none."""
    return next(iter(step([{}], [outcome.value]))) if outcome.status == "ok" else outcome


def _stack(outcomes: list[Outcome], step: Any) -> np.ndarray:
    """Return the values of outcomes, with zeros for those that have none."""
    empty = np.zeros(step.layout.format.shape, np.uint8)
    return np.stack([empty if o.status != "ok" else o.value for o in outcomes])


def _score(expected: set, predicted: set) -> dict[str, Any]:
    """Return {"n": expected, "precision", "recall"}."""
    hits = len(expected & predicted)
    return {
        "n": len(expected),
        "precision": round(hits / max(len(predicted), 1), 3) if predicted else 1.0,
        "recall": round(hits / max(len(expected), 1), 3) if expected else 1.0,
    }


def _score_flags(clips: pa.Table, table: pa.Table) -> dict[str, dict]:
    kinds, flags = clips["kind"].to_pylist(), table["flags"].to_pylist()
    return {
        "flags": {
            flag: _score(
                {i for i, kind in enumerate(kinds) if flag in FLAGS_OF_KIND.get(kind, ())},
                {i for i, names in enumerate(flags) if flag in names},
            )
            for flag in FLAGS
        }
    }


def _score_pairs(clips: pa.Table, pairs: dict[str, duplicates.Pairs]) -> dict[str, dict]:
    """Score the copies of each kind, by their originals, and all pairs of clips with the same original."""
    numbers = {clip_id: i for i, clip_id in enumerate(clips["clip_id"].to_pylist())}
    # ensemble://<id of the original>/<kind of copy>
    parts = [address.removeprefix("ensemble://").split("/") for address in clips["audio"].to_pylist()]
    originals = [numbers[part[0]] for part in parts]
    kinds = clips["kind"].to_pylist()
    either = pairs["sound"] | pairs["picture"]
    copies = {}
    for kind in COPIES:
        expected = {(originals[i], i) for i, k in enumerate(kinds) if k == kind and len(parts[i]) == 2}
        copies[kind] = {"n": len(expected)} | {
            side if side != "either" else "recall": round(len(expected & p) / max(len(expected), 1), 3)
            for side, p in (pairs | {"either": either}).items()
        }
    by_original: dict[int, list[int]] = {}
    for i, original in enumerate(originals):
        by_original.setdefault(original, []).append(i)
    same = {(a, b) for group in by_original.values() for a in group for b in group if a < b}
    return {"copies": copies, "pairs": {side: _score(same, p) for side, p in pairs.items()}}
