"""AVE: which event is in each second of a video, and when is it?

- `segments`, of a classifier: the class of each second is the most probable one at its middle. `accuracy`:
  of all seconds, where those outside of the event are `background`; a model without such a class answers it
  only if it is multilabel and no class is above one half. `event_accuracy`: of the seconds in the event.
- `localization`, of a model of pairs, on clips with seconds outside of the event: the event's sounds, l
  seconds, are compared with the pictures of every l successive seconds. The place with the least sum of
  Euclidean distances is the answer; the fraction that is exactly right. And pictures with sounds. Ties count
  against the answer.
- `chance`: the most frequent answer; a random place, the mean of 1 / (seconds - l + 1).

Source: Tian et al., Audio-Visual Event Localization in Unconstrained Videos, ECCV 2018 (arXiv 1803.08842).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pipeline.metrics.bootstrap import round_finite, summarize
from pipeline.metrics.protocols._base import KEY, SEGMENTS, Listing, Options, Protocol, Segments, Subset
from pipeline.store import list_files

BACKGROUND = "background"
SECONDS = 10  # of a video


class Event(NamedTuple):
    """What is heard and seen in a clip, and when."""

    labels: tuple[str, ...]
    start: float = 0.0  # s from the clip's start
    end: float = np.inf


class Ave(Protocol):
    """truth: the Event of each clip. An id is a class and a video, as a video may have two events."""

    needs = SEGMENTS
    lists = ("testSet.txt",)
    data = "AVE, 402 test videos of 10 s"
    measures = "accuracy by second; localization in time across modalities"
    blind_guess = "the most frequent answer; a random place"
    source = "AVE, arXiv 1803.08842; YapengTian/AVE-ECCV18"

    def read(self, path: str) -> Listing:
        """Read lines `class&video&quality&start&end` (s)."""
        truth, problems = {}, []
        for line, fields in list_files.read_rows(path, path, KEY, delimiter="&"):
            fields = [field.strip() for field in fields]
            if fields[0].casefold() == "category":
                continue
            try:
                label, video, _, start, end = fields
                event = Event((label,), float(start), float(end))
                if not (label and video and 0 <= event.start <= event.end <= SECONDS):
                    raise ValueError
            except ValueError:
                problems.append(f"line {line}: not class&video&quality&start&end: {'&'.join(fields)[:60]}")
                continue
            truth[f"{label}&{video}"] = event
        list_files.raise_problems(path, KEY, problems)
        return Listing(truth)

    def ids(self, row: dict[str, Any]) -> Iterator[str]:
        """Yield `<class>&<video>` for each label and each name of a clip of a whole video.

        A clip of the source `ave` that is an event alone (`data.ave.whole: false`) has no id.
        """
        if "quality" in row and row.get("event_end") is None:
            return
        for label in row["labels"] or []:
            for name in filter(None, [row.get("video_id"), *super().ids(row)]):
                yield f"{label}&{name}"

    def has_truth(self, row: dict[str, Any]) -> bool:
        """Return whether a clip has labels."""
        return bool(row["labels"])

    def own_truth(self, row: dict[str, Any]) -> Event:
        """Return the event of a clip; it fills the clip unless the table has `event_start`, `event_end`."""
        labels = tuple(row["labels"] or ())
        if row.get("event_end") is None:
            return Event(labels)
        return Event(labels, row.get("event_start") or 0.0, row["event_end"])

    def evaluate(self, outputs: Segments, subset: Subset, options: Options) -> dict[str, Any]:
        """Compute what the model has: classes of segments, or embeddings of both modalities."""
        n_segments = int(outputs.seconds.max())
        middles = np.arange(n_segments) + 0.5
        is_real = middles < outputs.seconds[:, None]  # (n, s)
        is_event = np.array([(e.start <= middles) & (middles < e.end) for e in subset.truth]) & is_real
        result: dict[str, Any] = {"n": len(subset.truth), "n_segments": int(is_real.sum())}
        if outputs.probabilities is not None:
            result["segments"] = _classify(outputs, subset, is_real, is_event, options)
        if {"audio", "video"} <= outputs.embeddings.keys():
            is_short = is_event.any(1) & (is_event != is_real).any(1)
            result["n_short_events"] = int(is_short.sum())
            if is_short.any():
                rows = np.flatnonzero(is_short)
                result["localization"] = _localize(outputs, rows, is_event, subset.groups, options)
        return result


def _classify(
    outputs: Segments, subset: Subset, is_real: np.ndarray, is_event: np.ndarray, options: Options
) -> dict[str, Any]:
    """Return the accuracy of all segments and of those in events. is_real, is_event: (n, s) bool."""
    p = outputs.probabilities
    assert p is not None
    predictions = np.array([*outputs.classes, BACKGROUND], object)[p.argmax(2)]
    if outputs.multilabel:
        predictions[p.max(2) <= 0.5] = BACKGROUND
    is_correct = np.zeros(is_real.shape, bool)
    frequencies: dict[str, list[int]] = {BACKGROUND: [int((is_real & ~is_event).sum()), 0]}
    for clip, event in enumerate(subset.truth):
        is_correct[clip] = np.where(
            is_event[clip], np.isin(predictions[clip], event.labels), predictions[clip] == BACKGROUND
        )
        for label in event.labels:
            counts = frequencies.setdefault(label, [0, 0])
            counts[0] += int(is_event[clip].sum())
            counts[1] += int(is_event[clip].sum())
    sizes = {"accuracy": is_real.sum(1), "event_accuracy": is_event.sum(1)}
    hits = {"accuracy": (is_correct & is_real).sum(1), "event_accuracy": (is_correct & is_event).sum(1)}
    chance = {
        name: round_finite(max(counts[i] for counts in frequencies.values()) / max(sizes[name].sum(), 1))
        for i, name in enumerate(sizes)
    }
    return _ratios(hits, sizes, subset.groups, options) | {"n": int(is_real.sum()), "chance": chance}


def _localize(
    outputs: Segments, rows: np.ndarray, is_event: np.ndarray, groups: list, options: Options
) -> dict[str, Any]:
    """Return how often an event is found in the other modality. rows: of the clips with short events."""
    hits = {name: np.zeros(len(rows)) for name in ("audio_to_video", "video_to_audio")}
    chance = np.zeros(len(rows))
    for i, row in enumerate(rows):
        seconds = int(outputs.seconds[row])
        event = np.flatnonzero(is_event[row])
        first, length = int(event[0]), len(event)
        audio, video = (outputs.embeddings[side][row, :seconds] for side in ("audio", "video"))
        distances = np.linalg.norm(audio[:, None] - video[None], axis=2)  # (sounds, pictures)
        chance[i] = 1 / (seconds - length + 1)
        for name, matrix in (("audio_to_video", distances), ("video_to_audio", distances.T)):
            sums = np.array(
                [
                    np.trace(matrix[first : first + length, t : t + length])
                    for t in range(seconds - length + 1)
                ]
            )
            hits[name][i] = (sums <= sums[first]).sum() == 1
    ones = np.ones(len(rows))
    metrics = _ratios(hits, dict.fromkeys(hits, ones), [groups[row] for row in rows], options)
    return metrics | {"n": len(rows), "chance": dict.fromkeys(hits, round_finite(chance.mean()))}


def _ratios(
    hits: dict[str, np.ndarray], sizes: dict[str, np.ndarray], groups: list, options: Options
) -> dict[str, Any]:
    """Return sum(hits) / sum(sizes) over clips, and the intervals. hits, sizes: metric -> (n,)."""

    def compute_ratios(weights: np.ndarray) -> dict[str, np.ndarray]:
        totals = {name: weights @ sizes[name] for name in hits}
        return {name: weights @ hits[name] / np.where(t > 0, t, np.nan) for name, t in totals.items()}

    metrics = summarize(compute_ratios, len(groups), groups, options.bootstrap, options.seed)
    return metrics | {name: 0.0 for name in hits if not sizes[name].any()}


PROTOCOL = Ave()
