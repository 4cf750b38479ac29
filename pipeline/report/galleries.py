"""Retrieval galleries: queries and their nearest clips in each direction, with pictures and sounds."""

import math
from collections import Counter
from typing import Any, NamedTuple

from pipeline.report import data_uri

SOUND_BYTES = 1_500_000  # all MP3s together: with base64 and pictures the page stays under 3 MB
MIN_SECONDS, MAX_SECONDS = 1.0, 4.0  # of one sound
MIN_ASPECT, MAX_ASPECT = 0.75, 1.78  # width / height of a picture on the page; others are cropped


class Direction(NamedTuple):
    """A direction of retrieval, as the page describes it."""

    source: str  # what the query is: "sound" or "picture"
    target: str  # what the results are: "sound" or "picture"
    name: str
    description: str


DIRECTIONS = {
    "audio_to_video": Direction(
        "sound",
        "picture",
        "Sound to picture",
        "The query is a sound; the results are the best matching pictures.",
    ),
    "video_to_audio": Direction(
        "picture",
        "sound",
        "Picture to sound",
        "The query is a picture; the results are the best matching sounds.",
    ),
    "audio_to_audio": Direction(
        "sound",
        "sound",
        "Sound to sound",
        "The query is a sound; the results are the most similar sounds.",
    ),
    "text_to_audio": Direction(
        "words",
        "sound",
        "Words to sound",
        "The query are words; the results are the best matching sounds.",
    ),
    "text_to_video": Direction(
        "words",
        "picture",
        "Words to picture",
        "The query are words; the results are the best matching pictures.",
    ),
    "video_to_video": Direction(
        "picture",
        "picture",
        "Picture to picture",
        "The query is a picture; the results are the most similar pictures.",
    ),
}


def encode_clips(galleries: dict[str, list[dict]], clips: dict[str, dict]) -> dict[str, dict]:
    """Encode the pictures and sounds of the clips of the galleries for a page, each once.

    galleries: direction -> rows {"query": clip_id, "results": [{"clip_id", ...}]}. clips: clip_id ->
    {"labels": list, "image": (H, W, 3) uint8 or None, "wav": bytes or None}.
    Returns clip_id -> {"key": short and unique, "id": clip_id, "name": the labels, "image": a data URI,
    "aspect": width / height, "sound": a data URI, "wave": an SVG path}; what a clip lacks is None.
    Raises ValueError if a clip of a gallery is not in `clips`, or cannot be encoded.
    """
    ids: dict[str, None] = {}  # an ordered set
    for rows in galleries.values():
        for row in rows:
            for clip_id in clip_ids_of(row):
                if clip_id not in clips:
                    raise ValueError(f"a gallery shows clip {clip_id!r}, which is not among the clips")
                ids[clip_id] = None
    n_sounds = sum(clips[clip_id].get("wav") is not None for clip_id in ids)
    seconds = SOUND_BYTES / max(1, n_sounds) / (data_uri.MP3_BITS / 8)
    seconds = min(MAX_SECONDS, max(MIN_SECONDS, seconds))  # of each sound
    page_clips = {}
    for number, clip_id in enumerate(ids):
        try:
            page_clips[clip_id] = _encode_clip(f"c{number}", clip_id, clips[clip_id], seconds)
        except ValueError as e:
            raise ValueError(f"clip {clip_id}: {e}") from None
    return page_clips


def clip_ids_of(row: dict) -> list[str]:
    """Return the ids of the clips in a row of a gallery: of the query, then of the results."""
    return [row["query"], *(result["clip_id"] for result in row["results"])]


def _encode_clip(key: str, clip_id: str, clip: dict, seconds: float) -> dict[str, Any]:
    """Return a clip as `encode_clips` does. seconds: how much of its sound the page has."""
    page_clip = {
        "key": key,
        "id": clip_id,
        "name": " · ".join(clip.get("labels") or []) or clip_id,
        "image": None,
        "aspect": None,
        "sound": None,
        "wave": None,
    }
    image, wav = clip.get("image"), clip.get("wav")
    if image is not None:
        page_clip["image"] = data_uri.jpeg_uri(image)
        aspect = image.shape[1] / image.shape[0]
        page_clip["aspect"] = round(min(MAX_ASPECT, max(MIN_ASPECT, aspect)), 3)
    if wav is not None:
        samples, rate = data_uri.decode_wav(wav)
        if len(samples):
            page_clip["sound"] = data_uri.mp3_uri(samples, rate, seconds)
            page_clip["wave"] = data_uri.waveform_path(samples[: round(MAX_SECONDS * rate)])
    return page_clip


def build_galleries(galleries: dict[str, list[dict]], page_clips: dict[str, dict]) -> list[dict]:
    """Return the galleries with the texts and counts that the template gallery.html shows.

    galleries: direction -> rows {"query": clip_id, "results": [{"clip_id", "score", "relevant": bool or
    None}]}. page_clips: clip_id -> clip, as `encode_clips` returns them. A direction without rows is left
    out. A result has a mark: "own" for the query's clip, "right" or "wrong" if it is known whether it is
    relevant.
    """
    page_galleries = []
    for key, direction in DIRECTIONS.items():
        page_rows: list[dict] = []
        mark_counts: Counter = Counter()
        for row in galleries.get(key) or []:
            cards = []
            for result in row["results"]:
                mark = _mark(result, row["query"])
                mark_counts[mark] += 1
                score = to_finite_float(result.get("score"))
                cards.append(
                    {
                        "clip": page_clips[result["clip_id"]],
                        "mark": mark,
                        "score": f"{score:.2f}" if score is not None else None,
                    }
                )
            page_rows.append({"query": page_clips[row["query"]], "results": cards})
        if page_rows:
            page_galleries.append(
                {
                    "id": key.replace("_", "-"),
                    "name": direction.name,
                    "text": direction.description,
                    "source": direction.source,
                    "target": direction.target,
                    "rows": page_rows,
                    "right": mark_counts["right"],
                    "judged": mark_counts["right"] + mark_counts["wrong"],
                    "own": mark_counts["own"],
                }
            )
    return page_galleries


def _mark(result: dict, query_id: str) -> str | None:
    """Return "own" if a result is the query's clip, else "right" or "wrong"; None if that is not known."""
    if result["clip_id"] == query_id:
        return "own"
    is_relevant = result.get("relevant")
    if is_relevant is None:
        return None
    return "right" if is_relevant else "wrong"


def to_finite_float(value: Any) -> float | None:
    """Return `value` as a finite float; None for anything else. Text is converted: CSV files hold text."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
