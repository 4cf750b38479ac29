"""The model, in a process of its own: the page stays quick while it thinks, and up where it crashes.

What the functions here take and give is plain data; app.answers makes a page of it. `root` is the folder of a
run (app.runs), in which checkpoints and index lie.
"""

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import TimeoutError as OutOfTime
from pathlib import Path
from typing import Any

import numpy as np
from pebble import ProcessExpired, ProcessPool

from app.offline import stay_home
from models.inference.query import Query
from pipeline.engine.workers import watch_parent
from pipeline.errors import UserError

OPEN = 4  # models in memory at a time
SECONDS = 60.0  # for one answer; opening a model takes some
PAIRS = 1000  # at most, of each kind, among which a score is placed
TRIES = 20  # to find a clip that a sound does not belong to


class ModelProcess:
    """Asks the functions of this module in the process where the models are."""

    def __init__(self) -> None:
        self.pool = ProcessPool(
            max_workers=1, context=multiprocessing.get_context("spawn"), initializer=_start
        )

    def __call__(self, function: Callable[..., Any], root: Path, *given: Any) -> Any:
        """Raises UserError as the function does, and where its process ends."""
        future = self.pool.schedule(function, args=[str(root), *given], timeout=SECONDS)
        try:
            return future.result()
        except OutOfTime:
            raise UserError(f"no answer within {SECONDS:g} s: try again") from None
        except ProcessExpired:
            raise UserError("the model's process ended: try again") from None

    def warm(self, root: Path) -> None:
        """Have it import and load, without waiting."""
        self.pool.schedule(facts, args=[str(root)])

    def close(self) -> None:
        self.pool.stop()
        self.pool.join()


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent()
    stay_home()


def _changed(path: Path) -> int:
    """When a file was written (ns): what is open is opened anew where it is another."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _files(root: str) -> Any:
    return _opened(root, _changed(Path(root) / "checkpoints/model.safetensors"))


@functools.lru_cache(OPEN)
def _opened(root: str, _: int) -> Any:
    from models import checkpoint  # torch takes seconds to import: here, while the page is already there
    from models.inference.file_model import FileModel

    return FileModel(checkpoint.load(Path(root) / "checkpoints"))


def _library(root: str) -> Any:
    return _indexed(root, _changed(Path(root) / "data/embeddings/clips.parquet"), _files(root))


@functools.lru_cache(OPEN)
def _indexed(root: str, _: int, files: Any) -> Any:
    from models.inference.search import Library

    return Library.open(root, files.model)


def facts(root: str) -> dict[str, Any]:
    """{"task", "across" (whether a sound can be asked about pictures)} of the model."""
    files = _files(root)
    both = files.config["modality"] == "both"
    return {"task": files.config["task"], "across": both and files.model.module.across}


def nearest(root: str, query: Query, find: str, k: int) -> list[tuple[str, list[tuple[int, float]]]]:
    """For each direction the nearest clips to a file: rows and scores. find: audio, video, or both."""
    library = _library(root)
    query = library.files.query(query)
    directions = [d for d in library.directions(query) if find in ("both", d.split("_to_")[1])]
    if not directions:
        why = "; ".join(query.missing.values()) or "there is no such index"
        raise UserError(f"{query.name}: cannot be asked so: {why}")
    return [(d, _hits(library, query.embeddings[d.split("_to_")[0]], d, k)) for d in directions]


def nearest_to(root: str, row: int, find: str, k: int) -> list[tuple[str, list[tuple[int, float]]]]:
    """`nearest` to a clip of the library, which is left out itself."""
    library = _library(root)
    embeddings = {side: searcher.vectors[row] for side, searcher in library.searchers.items()}
    found = []
    for source in embeddings:
        for target in embeddings:
            if find in ("both", target) and (source == target or library.model.module.across):
                direction = f"{source}_to_{target}"
                hits = _hits(library, embeddings[source], direction, k + 1)
                found.append((direction, [hit for hit in hits if hit[0] != row][:k]))
    return found


def _hits(library: Any, embedding: np.ndarray, direction: str, k: int) -> list[tuple[int, float]]:
    return [(hit.row, hit.score) for hit in library.nearest(embedding, direction, k)]


def belong(root: str, sound: Query, picture: Query) -> dict[str, Any]:
    """{"score" (a logit), "where" ((h, w) or None), "right", "wrong": the scores of test pairs, sorted}."""
    files = _files(root)
    sound, picture = files.query(sound), files.query(picture)
    try:
        right, wrong = _pairs(root, _library(root))
    except UserError:  # there is no index: the score stands alone
        right = wrong = np.empty(0, np.float32)
    score, where = files.score(sound, picture), files.localize(sound, picture)
    return {"score": score, "where": where, "right": right, "wrong": wrong}


@functools.lru_cache(OPEN)
def _pairs(root: str, library: Any) -> tuple[np.ndarray, np.ndarray]:
    """The scores of the test split's own pairs, and of pairs without a label in common."""
    clips = library.clips
    rng = np.random.default_rng(0)
    rows = rng.permutation([i for i, clip in enumerate(clips) if clip["split"] == "test"])[:PAIRS]
    rows = rows.astype(int)
    sound, picture = [], []
    for row in np.tile(rows, -(-PAIRS // max(len(rows), 1)))[:PAIRS]:
        mine = set(clips[row]["labels"] or [])
        others = (o for o in rng.choice(rows, TRIES) if o != row and not mine & set(clips[o]["labels"] or []))
        if (other := next(others, None)) is not None:
            sound.append(row)
            picture.append(other)
    stored = [np.load(Path(root) / f"data/embeddings/{s}.npy", mmap_mode="r") for s in ("audio", "video")]
    audio, video = stored
    score = library.model.score
    return np.sort(score(audio[rows], video[rows])), np.sort(score(audio[sound], video[picture]))


def along(root: str, parts: list[tuple[float, Query]], every: float) -> list[tuple[float, float]]:
    """A video's score along time: the middle of each window (s), and its logit."""
    files = _files(root)
    name = parts[0][1].name
    for side, what in (("audio", "sound"), ("video", "picture")):
        if side in parts[0][1].missing:
            raise UserError(f"{name}: no {what} in it: {parts[0][1].missing[side]}")
    times, found = files.along_parts(parts, every)
    known = ~(np.isnan(found["audio"]).any(1) | np.isnan(found["video"]).any(1))
    scores = files.model.score(found["audio"][known], found["video"][known])
    half = files.config["inputs"]["audio"]["window_seconds"] / 2
    return [(float(t + half), float(s)) for t, s in zip(times[known], scores, strict=True)]


def classify(root: str, query: Query, best: int) -> list[tuple[str, list[tuple[str, float]]]]:
    """The likeliest classes by "both", "audio", "video": as far as the file and the model have them."""
    files = _files(root)
    modality = files.config["modality"]
    knows = ["audio", "video"] if modality == "both" else [modality]
    here = [side for side in knows if side not in query.missing]
    if not here:
        return [(modality, files.classify(query))]  # which says why not
    ways = ["both", *here] if len(here) == 2 else here
    return [(way, files.classify(query, None if way == "both" else way)[:best]) for way in ways]
