"""Retrieval galleries: queries and their nearest clips in each direction, with pictures and sounds."""

import math
from collections import Counter
from typing import Any

from pipeline.report import data_uri

SOUND_BYTES = 1_500_000  # all MP3s together: with base64 and pictures the page stays under 3 MB
MAX_SECONDS = 4.0  # of one sound
DIRECTIONS = {  # direction -> modality of the query, of the results, name, description
    "audio_to_video": (
        "sound",
        "picture",
        "Sound to picture",
        "The query is a sound; the results are the best matching pictures.",
    ),
    "video_to_audio": (
        "picture",
        "sound",
        "Picture to sound",
        "The query is a picture; the results are the best matching sounds.",
    ),
    "audio_to_audio": (
        "sound",
        "sound",
        "Sound to sound",
        "The query is a sound; the results are the most similar sounds.",
    ),
    "video_to_video": (
        "picture",
        "picture",
        "Picture to picture",
        "The query is a picture; the results are the most similar pictures.",
    ),
}


def encode_clips(galleries: dict[str, list[dict]], clips: dict[str, dict]) -> dict[str, dict]:
    """Encode the clips of the galleries as data URIs, each once, with a short unique key.

    galleries, clips: as in ReportData. Raises ValueError if a clip of a gallery is not in `clips`, or if its
    picture or sound cannot be encoded.
    """
    ids: dict[str, None] = {}  # an ordered set
    for rows in galleries.values():
        for row in rows:
            for clip_id in (row["query"], *(r["clip_id"] for r in row["results"])):
                if clip_id not in clips:
                    raise ValueError(f"a gallery shows clip {clip_id!r}, which is not among the clips")
                ids[clip_id] = None
    sounds = sum(clips[c].get("wav") is not None for c in ids)
    seconds = min(MAX_SECONDS, max(1.0, SOUND_BYTES / max(1, sounds) / (data_uri.MP3_BITS / 8)))
    result = {}
    for number, clip_id in enumerate(ids):
        clip = clips[clip_id]
        image, wav = clip.get("image"), clip.get("wav")
        row = {
            "key": f"c{number}",
            "id": clip_id,
            "name": " · ".join(clip.get("labels") or []) or clip_id,
            "image": None,
            "aspect": None,
            "sound": None,
            "wave": None,
        }
        try:
            if image is not None:
                row["image"] = data_uri.jpeg(image)
                row["aspect"] = round(min(1.78, max(0.75, image.shape[1] / image.shape[0])), 3)
            if wav is not None:
                samples, rate = data_uri.read_wav(wav)
                if len(samples):
                    row["sound"] = data_uri.mp3(samples, rate, seconds)
                    row["wave"] = data_uri.waveform(samples[: round(MAX_SECONDS * rate)])
        except ValueError as e:
            raise ValueError(f"clip {clip_id}: {e}") from None
        result[clip_id] = row
    return result


def build_galleries(galleries: dict[str, list[dict]], clips: dict[str, dict]) -> list[dict]:
    """Return the input of gallery.html. galleries: as in ReportData. clips: as of `encode_clips`."""
    result = []
    for direction, (source, target, name, text) in DIRECTIONS.items():
        rows: list[dict] = []
        marks: Counter = Counter()
        for gallery in galleries.get(direction) or []:
            cards = []
            for item in gallery["results"]:
                is_query = item["clip_id"] == gallery["query"]
                mark = "own" if is_query else {True: "right", False: "wrong"}.get(item.get("relevant"))
                marks[mark] += 1
                score = finite(item.get("score"))
                cards.append(
                    {
                        "clip": clips[item["clip_id"]],
                        "mark": mark,
                        "score": f"{score:.2f}" if score is not None else None,
                    }
                )
            rows.append({"query": clips[gallery["query"]], "results": cards})
        if rows:
            judged = marks["right"] + marks["wrong"]
            result.append(
                {
                    "id": direction.replace("_", "-"),
                    "name": name,
                    "text": text,
                    "source": source,
                    "target": target,
                    "rows": rows,
                    "right": marks["right"],
                    "judged": judged,
                    "own": marks["own"],
                }
            )
    return result


def finite(value: Any) -> float | None:
    """Return `value` as a finite float; None for anything else. Text is converted: CSV files hold text."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
