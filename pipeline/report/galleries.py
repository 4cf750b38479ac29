"""Galleries of clips to see and hear: a query and its nearest, in each direction."""

import math
from collections import Counter
from typing import Any

from pipeline.report import data_uri

SOUND_BYTES = 1_500_000  # all MP3s together; with base64 and pictures the page stays under 3 MB
LONGEST = 4.0  # seconds of one sound
DIRECTIONS = {
    "audio_to_video": (
        "sound",
        "picture",
        "Sound to picture",
        "Asked with a sound: which pictures go with it?",
    ),
    "video_to_audio": (
        "picture",
        "sound",
        "Picture to sound",
        "Asked with a picture: what does it sound like?",
    ),
    "audio_to_audio": ("sound", "sound", "Sound to sound", "Asked with a sound: what else sounds like it?"),
    "video_to_video": (
        "picture",
        "picture",
        "Picture to picture",
        "Asked with a picture: what else looks like it?",
    ),
}


def shown_clips(galleries: dict[str, list[dict]], known: dict[str, dict]) -> dict[str, dict]:
    """The clips that the galleries show, each encoded once, under a short key of its own."""
    wanted: dict[str, None] = {}
    for rows in galleries.values():
        for row in rows:
            for clip_id in (row["query"], *(r["clip_id"] for r in row["results"])):
                if clip_id not in known:
                    raise ValueError(f"a gallery shows clip {clip_id!r}, which is not among the clips")
                wanted[clip_id] = None
    heard = sum(known[c].get("wav") is not None for c in wanted)
    seconds = min(LONGEST, max(1.0, SOUND_BYTES / max(1, heard) / (data_uri.MP3_BITS / 8)))
    result = {}
    for number, clip_id in enumerate(wanted):
        clip = known[clip_id]
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
                    row["wave"] = data_uri.waveform(samples[: round(LONGEST * rate)])
        except ValueError as e:
            raise ValueError(f"clip {clip_id}: {e}") from None
        result[clip_id] = row
    return result


def shown_galleries(galleries: dict[str, list[dict]], clips: dict[str, dict]) -> list[dict]:
    """What gallery.html shows. galleries: as of ReportData; clips: as of `shown_clips`."""
    result = []
    for direction, (source, target, name, text) in DIRECTIONS.items():
        rows: list[dict] = []
        marks: Counter = Counter()
        for gallery in galleries.get(direction) or []:
            cards = []
            for item in gallery["results"]:
                own, relevant = item["clip_id"] == gallery["query"], item.get("relevant")
                mark = "own" if own else {True: "right", False: "wrong"}.get(relevant)
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
    """`value` as a finite float; None for anything else (histories read from files hold text)."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
