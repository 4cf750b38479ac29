"""Run the model in a separate process: the page stays responsive, and survives a crash of the model.

The functions here take and return plain data; app.answers makes HTML of it. Their first parameter,
`run_folder`, is the folder of a run (app.runs). It contains `checkpoints/`, and for a search also
`data/embeddings/` and `data/index/`.
"""

import functools
import math
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

MAX_LOADED_MODELS = 4  # models in memory at the same time
TIMEOUT_SECONDS = 60.0  # for one answer, which includes loading the model
MAX_PAIRS = 1000  # maximum number of matching and of other test pairs to compare a score with
MAX_CANDIDATES = 20  # random clips among which a clip without a common label is searched

Hits = list[tuple[int, float]]  # (row of a clip in the index, similarity to the query), most similar first
Results = list[tuple[str, Hits]]  # (direction such as "audio_to_video", its hits)


class ModelProcess:
    """Call the functions of this module in the process that holds the models.

    pool: a pebble pool of that one process. If the process crashes, the pool starts a new one.
    """

    def __init__(self) -> None:
        self.pool = ProcessPool(
            max_workers=1,
            context=multiprocessing.get_context("spawn"),
            initializer=_initialize_process,
        )

    def __call__(self, function: Callable[..., Any], run_folder: Path, *arguments: Any) -> Any:
        """Return `function(run_folder, *arguments)`, computed in the process of the model.

        function: one of this module. Raises the UserError that the function raises, and one if there is no
        result within TIMEOUT_SECONDS or if the process crashes.
        """
        future = self.pool.schedule(function, args=[str(run_folder), *arguments], timeout=TIMEOUT_SECONDS)
        try:
            return future.result()
        except FutureTimeout:
            raise UserError(f"no answer within {TIMEOUT_SECONDS:g} s: try again") from None
        except ProcessExpired:
            raise UserError("the model's process crashed: try again") from None

    def warm_up(self, run_folder: Path) -> None:
        """Start to import the libraries and to load the model of a run. Does not wait for the end of it."""
        self.pool.schedule(compares_modalities, args=[str(run_folder)])

    def close(self) -> None:
        """Stop the process. Calls that have not returned yet are cancelled."""
        self.pool.stop()
        self.pool.join()


def _initialize_process() -> None:
    """Prepare the process of the model: it ignores Ctrl-C, ends with the page, and opens no connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent()
    forbid_connections()


def _modification_time(path: Path) -> int:
    """Return when a file was written (ns); 0 if it does not exist.

    It is part of the keys of the caches below: after a new training the new file is loaded.
    """
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _file_model(run_folder: str) -> Any:
    """Return the run's model (a models.inference.file_model.FileModel), loaded at most once per training."""
    weights = Path(run_folder) / "checkpoints/model.safetensors"
    return _load_file_model(run_folder, _modification_time(weights))


@functools.lru_cache(MAX_LOADED_MODELS)
def _load_file_model(run_folder: str, modification_time: int) -> Any:
    """Load the run's model. modification_time: of its weights, only a key of the cache."""
    from models import checkpoint  # imports torch, which takes seconds: the page is up before
    from models.inference.file_model import FileModel

    return FileModel(checkpoint.load(Path(run_folder) / "checkpoints"))


def _library(run_folder: str) -> Any:
    """Return the run's index with its clips and model (a models.inference.search.Library)."""
    clips = Path(run_folder) / "data/embeddings/clips.parquet"
    return _load_library(run_folder, _modification_time(clips), _file_model(run_folder))


@functools.lru_cache(MAX_LOADED_MODELS)
def _load_library(run_folder: str, modification_time: int, file_model: Any) -> Any:
    """Load the run's index. modification_time: of its clips, only a key of the cache."""
    from models.inference.search import Library

    return Library.open(run_folder, file_model.model)


def compares_modalities(run_folder: str) -> bool:
    """Return whether the model compares sounds with pictures."""
    file_model = _file_model(run_folder)
    return file_model.config["modality"] == "both" and file_model.model.module.cross_modal


def search_by_file(run_folder: str, query: DecodedFile, target_modality: str, k: int) -> Results:
    """Find the k clips nearest to a file, in each direction that the file and the model allow.

    target_modality: what to find: "audio" (sounds), "video" (pictures) or "both".
    Returns a list of (direction, [(row of the clip in the index, similarity), ...]), most similar first.
    Raises UserError if there is no such direction.
    """
    library = _library(run_folder)
    query = library.files.read_and_embed(query)
    results = []
    for direction in library.directions(query):
        source, target = direction.split("_to_")
        if target_modality in ("both", target):
            results.append((direction, _find_nearest(library, query.embeddings[source], direction, k)))
    if not results:
        why = "; ".join(query.missing.values()) or "there is no such index"
        raise UserError(f"{query.name}: cannot be searched so: {why}")
    return results


def search_by_text(run_folder: str, text: str, target_modality: str, k: int) -> Results:
    """Find the k clips nearest to words.

    target_modality: what to find: "audio" (sounds), "video" (pictures) or "both".
    Returns a list of (direction, [(row of the clip in the index, similarity), ...]), most similar first.
    Raises UserError if the model does not understand words.
    """
    library = _library(run_folder)
    side, embedding = library.embed_text(text)
    return [
        (f"text_to_{target}", _find_nearest(library, embedding, f"{side}_to_{target}", k))
        for target in library.searchers
        if target_modality in ("both", target)
    ]


def search_by_clip(run_folder: str, row: int, target_modality: str, k: int) -> Results:
    """Find the k clips nearest to the clip in row `row` of the index, without this clip itself.

    target_modality: what to find: "audio" (sounds), "video" (pictures) or "both".
    Returns a list of (direction, [(row of the clip in the index, similarity), ...]), most similar first.
    """
    library = _library(run_folder)
    embeddings = {side: searcher.vectors[row] for side, searcher in library.searchers.items()}
    results = []
    for source in embeddings:
        for target in embeddings:
            if target_modality in ("both", target) and (source == target or library.model.module.cross_modal):
                direction = f"{source}_to_{target}"
                # One more than k, since the clip itself may be among them.
                hits = _find_nearest(library, embeddings[source], direction, k + 1)
                other_hits = [(hit_row, score) for hit_row, score in hits if hit_row != row]
                results.append((direction, other_hits[:k]))
    return results


def _find_nearest(library: Any, embedding: np.ndarray, direction: str, k: int) -> Hits:
    """Return (row, similarity) of the k clips nearest to an embedding (dim,), most similar first."""
    return [(hit.row, hit.score) for hit in library.nearest(embedding, direction, k)]


def score_pair(run_folder: str, audio_file: DecodedFile, video_file: DecodedFile) -> dict[str, Any]:
    """Score how well the sound of one file and the picture of another match.

    Returns {"score": a logit, above 0 if they more likely match than not; "map": (h, w) probabilities of
    where the sound is in the picture, None if the model does not localize; "positives", "negatives": sorted
    scores of test pairs that match and that do not, empty if the run has no index}.
    """
    file_model = _file_model(run_folder)
    audio_file, video_file = file_model.read_and_embed(audio_file), file_model.read_and_embed(video_file)
    try:
        positives, negatives = _score_test_pairs(run_folder, _library(run_folder))
    except UserError:  # there is no index
        positives = negatives = np.empty(0, np.float32)
    return {
        "score": file_model.score(audio_file, video_file),
        "map": file_model.localize(audio_file, video_file),
        "positives": positives,
        "negatives": negatives,
    }


@functools.lru_cache(MAX_LOADED_MODELS)
def _score_test_pairs(run_folder: str, library: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted scores of up to MAX_PAIRS matching test pairs, and of as many other test pairs.

    A matching pair is the sound and the picture of one clip; the two clips of another pair share no label.
    """
    rng = np.random.default_rng(0)
    test_rows = [row for row, clip in enumerate(library.clips) if clip["split"] == "test"]
    rows = rng.permutation(test_rows)[:MAX_PAIRS].astype(int)
    audio_rows, video_rows = _sample_negatives(library.clips, rows, rng)
    folder = Path(run_folder) / "data/embeddings"
    audio, video = (np.load(folder / f"{side}.npy", mmap_mode="r") for side in ("audio", "video"))
    score = library.model.score
    positives, negatives = score(audio[rows], video[rows]), score(audio[audio_rows], video[video_rows])
    return np.sort(positives), np.sort(negatives)


def _sample_negatives(
    clips: list[dict], rows: np.ndarray, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Sample up to MAX_PAIRS pairs of clips without a common label.

    clips: all clips of the index. rows: (n,) those to sample from. Returns the rows of the sounds, and the
    rows of the pictures. A sound gets no picture if all MAX_CANDIDATES random clips share a label with it.
    """
    audio_rows, video_rows = [], []
    repetitions = math.ceil(MAX_PAIRS / max(len(rows), 1))
    for audio_row in np.tile(rows, repetitions)[:MAX_PAIRS]:
        labels = set(clips[audio_row]["labels"] or [])
        for video_row in rng.choice(rows, MAX_CANDIDATES):
            if video_row != audio_row and not labels & set(clips[video_row]["labels"] or []):
                audio_rows.append(audio_row)
                video_rows.append(video_row)
                break
    return audio_rows, video_rows


def score_along(
    run_folder: str, parts: list[tuple[float, DecodedFile]], hop_seconds: float
) -> list[tuple[float, float]]:
    """Score how well sound and picture of a video match in each window along it.

    parts: (start (s), part) of consecutive parts of the video, which contain all windows, one each
    `hop_seconds`. Returns (middle of the window (s), logit) of each window that has both sound and picture.
    Raises UserError if the video lacks one of them.
    """
    file_model = _file_model(run_folder)
    _, first_part = parts[0]
    for side, noun in (("audio", "sound"), ("video", "picture")):
        if side in first_part.missing:
            raise UserError(f"{first_part.name}: no {noun} in it: {first_part.missing[side]}")
    starts, embeddings = file_model.embed_parts(parts, hop_seconds)
    audio, video = embeddings["audio"], embeddings["video"]
    is_complete = ~(np.isnan(audio).any(1) | np.isnan(video).any(1))  # a missing side is a row of NaN
    scores = file_model.model.score(audio[is_complete], video[is_complete])
    half_window = file_model.config["inputs"]["audio"]["window_seconds"] / 2
    middles = starts[is_complete] + half_window
    return [(float(middle), float(score)) for middle, score in zip(middles, scores, strict=True)]


def classify(
    run_folder: str, query: DecodedFile, max_classes: int
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Classify a file by both sides together and by each alone, as far as the file and the model have them.

    Returns a list of ("both", "audio" or "video", [(class, probability), ...]), with the `max_classes` most
    probable classes, the most probable first. Raises UserError if the file has nothing to classify by.
    """
    file_model = _file_model(run_folder)
    modality = file_model.config["modality"]
    model_sides = ["audio", "video"] if modality == "both" else [modality]
    usable_sides = [side for side in model_sides if side not in query.missing]
    if not usable_sides:
        return [(modality, file_model.classify(query))]  # raises UserError with the reason
    predictions = []
    if len(usable_sides) == 2:
        predictions.append(("both", file_model.classify(query)[:max_classes]))
    for side in usable_sides:
        predictions.append((side, file_model.classify(query, side)[:max_classes]))
    return predictions
