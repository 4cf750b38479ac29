"""Run the model in a separate process: the page stays responsive, and survives a crash of the model.

The functions here take and return plain data; app.answers makes HTML of it. `root` is the folder of a run
(app.runs), which contains checkpoints and index.
"""

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

import numpy as np
from pebble import ProcessExpired, ProcessPool

from app.offline import forbid_connections
from models.inference.decode import DecodedFile
from pipeline.engine.workers import watch_parent
from pipeline.errors import UserError

OPEN = 4  # models in memory at the same time
SECONDS = 60.0  # timeout for one answer, which includes loading the model
PAIRS = 1000  # maximum number of matching and of other test pairs to compare a score with
TRIES = 20  # clips to try for a pair without a common label


class ModelProcess:
    """Call the functions of this module in the process that holds the models."""

    def __init__(self) -> None:
        self.pool = ProcessPool(
            max_workers=1, context=multiprocessing.get_context("spawn"), initializer=_start
        )

    def __call__(self, function: Callable[..., Any], root: Path, *arguments: Any) -> Any:
        """Call a function. Raises UserError as it does, and if it takes too long or its process crashes."""
        future = self.pool.schedule(function, args=[str(root), *arguments], timeout=SECONDS)
        try:
            return future.result()
        except FutureTimeout:
            raise UserError(f"no answer within {SECONDS:g} s: try again") from None
        except ProcessExpired:
            raise UserError("the model's process crashed: try again") from None

    def warm_up(self, root: Path) -> None:
        """Start to import and to load the model. Does not wait."""
        self.pool.schedule(facts, args=[str(root)])

    def close(self) -> None:
        self.pool.stop()
        self.pool.join()


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent()
    forbid_connections()


def _modified(path: Path) -> int:
    """Return when a file was written (ns), as a key of the caches below: a new file is loaded again."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _file_model(root: str) -> Any:
    return _load_model(root, _modified(Path(root) / "checkpoints/model.safetensors"))


@functools.lru_cache(OPEN)
def _load_model(root: str, _: int) -> Any:
    from models import checkpoint  # imports torch, which takes seconds: the page is up before
    from models.inference.file_model import FileModel

    return FileModel(checkpoint.load(Path(root) / "checkpoints"))


def _library(root: str) -> Any:
    return _load_library(root, _modified(Path(root) / "data/embeddings/clips.parquet"), _file_model(root))


@functools.lru_cache(OPEN)
def _load_library(root: str, _: int, file_model: Any) -> Any:
    from models.inference.search import Library

    return Library.open(root, file_model.model)


def facts(root: str) -> dict[str, Any]:
    """Return {"task", "cross_modal" (whether the model compares sounds with pictures)}."""
    file_model = _file_model(root)
    reads_both = file_model.config["modality"] == "both"
    return {
        "task": file_model.config["task"],
        "cross_modal": reads_both and file_model.model.module.cross_modal,
    }


def nearest(
    root: str, query: DecodedFile, modality: str, k: int
) -> list[tuple[str, list[tuple[int, float]]]]:
    """Return rows and scores of the clips nearest to a file, by direction.

    modality: of the clips to find: audio, video, or both.
    """
    library = _library(root)
    query = library.files.read_and_embed(query)
    directions = [d for d in library.directions(query) if modality in ("both", d.split("_to_")[1])]
    if not directions:
        why = "; ".join(query.missing.values()) or "there is no such index"
        raise UserError(f"{query.name}: cannot be searched so: {why}")
    return [(d, _hits(library, query.embeddings[d.split("_to_")[0]], d, k)) for d in directions]


def nearest_to(root: str, row: int, modality: str, k: int) -> list[tuple[str, list[tuple[int, float]]]]:
    """Return the results as `nearest`, for a clip of the library. The clip is not among them."""
    library = _library(root)
    embeddings = {side: searcher.vectors[row] for side, searcher in library.searchers.items()}
    results = []
    for source in embeddings:
        for target in embeddings:
            if modality in ("both", target) and (source == target or library.model.module.cross_modal):
                direction = f"{source}_to_{target}"
                hits = _hits(library, embeddings[source], direction, k + 1)
                results.append((direction, [hit for hit in hits if hit[0] != row][:k]))
    return results


def _hits(library: Any, embedding: np.ndarray, direction: str, k: int) -> list[tuple[int, float]]:
    return [(hit.row, hit.score) for hit in library.nearest(embedding, direction, k)]


def compare(root: str, sound: DecodedFile, picture: DecodedFile) -> dict[str, Any]:
    """Score a sound and a picture.

    Returns {"score" (a logit), "map" ((h, w) or None), "positives", "negatives" (sorted, of test pairs)}.
    """
    file_model = _file_model(root)
    sound, picture = file_model.read_and_embed(sound), file_model.read_and_embed(picture)
    try:
        positives, negatives = _pair_scores(root, _library(root))
    except UserError:  # there is no index
        positives = negatives = np.empty(0, np.float32)
    score, heat = file_model.score(sound, picture), file_model.localize(sound, picture)
    return {"score": score, "map": heat, "positives": positives, "negatives": negatives}


@functools.lru_cache(OPEN)
def _pair_scores(root: str, library: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted scores of positive pairs (test clips) and negative pairs (no common label)."""
    clips = library.clips
    rng = np.random.default_rng(0)
    rows = rng.permutation([i for i, clip in enumerate(clips) if clip["split"] == "test"])[:PAIRS]
    rows = rows.astype(int)
    sound, picture = [], []
    for row in np.tile(rows, -(-PAIRS // max(len(rows), 1)))[:PAIRS]:
        labels = set(clips[row]["labels"] or [])
        candidates = rng.choice(rows, TRIES)
        negatives = (c for c in candidates if c != row and not labels & set(clips[c]["labels"] or []))
        if (other := next(negatives, None)) is not None:
            sound.append(row)
            picture.append(other)
    stored = [np.load(Path(root) / f"data/embeddings/{s}.npy", mmap_mode="r") for s in ("audio", "video")]
    audio, video = stored
    score = library.model.score
    return np.sort(score(audio[rows], video[rows])), np.sort(score(audio[sound], video[picture]))


def along(root: str, parts: list[tuple[float, DecodedFile]], every: float) -> list[tuple[float, float]]:
    """Score a video along time: the middle of each window (s), and its logit."""
    file_model = _file_model(root)
    name = parts[0][1].name
    for side, kind in (("audio", "sound"), ("video", "picture")):
        if side in parts[0][1].missing:
            raise UserError(f"{name}: no {kind} in it: {parts[0][1].missing[side]}")
    times, embeddings = file_model.embed_parts(parts, every)
    complete = ~(np.isnan(embeddings["audio"]).any(1) | np.isnan(embeddings["video"]).any(1))
    scores = file_model.model.score(embeddings["audio"][complete], embeddings["video"][complete])
    half = file_model.config["inputs"]["audio"]["window_seconds"] / 2
    return [(float(t + half), float(s)) for t, s in zip(times[complete], scores, strict=True)]


def classify(root: str, query: DecodedFile, best: int) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the most probable classes by "both", "audio", "video", as far as file and model have them."""
    file_model = _file_model(root)
    modality = file_model.config["modality"]
    model_sides = ["audio", "video"] if modality == "both" else [modality]
    usable = [side for side in model_sides if side not in query.missing]
    if not usable:
        return [(modality, file_model.classify(query))]  # raises UserError with the reason
    modalities = ["both", *usable] if len(usable) == 2 else usable
    return [
        (name, file_model.classify(query, None if name == "both" else name)[:best]) for name in modalities
    ]
