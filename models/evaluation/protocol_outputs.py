"""What a model computes for protocols: embeddings of several windows, probabilities, segments, maps."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from models.checkpoint import Model
from models.evaluation.localization import compute_object_maps
from models.inference.classify import probabilities
from pipeline.dataset.dataset import MIDDLE, Dataset
from pipeline.errors import UserError
from pipeline.metrics.protocols._base import (
    MAPS,
    PROBABILITIES,
    SEGMENTS,
    SHARED_WINDOWS,
    WINDOWS,
    Maps,
    Options,
    Probabilities,
    Segments,
    Windows,
)

MAX_SECONDS = 10  # of a clip, in segments of one second


def embed_windows(model: Model, data: Dataset, clips: np.ndarray, options: Options) -> Windows:
    """Embed windows of each clip, in each modality of the model.

    Window i of k has the picture at i / k of the clip, and the sound around it as far as the clip goes; a
    single window is the middle one, and so it is if all windows of all clips are the same.
    """
    k = options.windows
    moments = np.arange(k) / k * data.seconds[clips][:, None]
    middle = np.full(len(clips), MIDDLE)
    places = list(_places(data, clips, moments)) if k > 1 else [(middle, middle)]
    windows = [data.locate_windows(clips, *place, model.features.segments) for place in places]
    columns, frames = (np.array(values) for values in zip(*windows, strict=True))
    # A clip that is as long as a window has room for two, which are one column apart.
    is_repeated = (np.ptp(columns, axis=0) <= 1).all() and (frames == frames[0]).all()
    embeddings: dict[str, list[np.ndarray]] = {name: [] for name in model.module.embedding_names}
    for place in [(middle, middle)] if is_repeated else places:
        # `embed` returns two arrays, also if there is only one embedding: then both are the same.
        for name, vectors in zip(embeddings, model.embed(data, clips, *place), strict=False):
            embeddings[name].append(vectors)
    score = None if getattr(model.module, "by_distance", True) else model.scores
    return Windows({name: np.stack(vectors, axis=1) for name, vectors in embeddings.items()}, score)


def embed_shared_windows(model: Model, data: Dataset, clips: np.ndarray, options: Options) -> Windows:
    """Do what `embed_windows` does. Raises UserError unless sounds and pictures share a space."""
    if not model.module.cross_modal or len(model.module.embedding_names) < 2:
        raise UserError("evaluate.protocols: retrieval across modalities needs modality: both")
    return embed_windows(model, data, clips, options)


def classify(model: Model, data: Dataset, clips: np.ndarray, options: Options) -> Probabilities:
    """Return class probabilities by sound and picture, and by each alone, as far as the model sees them."""
    modality, classes = model.config["modality"], list(model.module.classes)
    inputs: dict[str, str | None] = {modality: None}  # what the model sees -> what is left out
    if modality == "both":
        inputs |= {"audio": "video", "video": "audio"}
    by_input = {
        name: probabilities(model, data, clips, blank, frames=options.frames)
        for name, blank in inputs.items()
    }
    return Probabilities(classes, by_input)


def describe_segments(model: Model, data: Dataset, clips: np.ndarray, options: Options) -> Segments:
    """Classify or embed each second of the clips: the window whose middle is that of the second."""
    seconds = np.clip(data.seconds[clips].round().astype(int), 1, MAX_SECONDS)
    moments = np.arange(seconds.max()) + 0.5
    places = list(_places(data, clips, np.broadcast_to(moments, (len(clips), len(moments)))))
    if model.module.classes:
        p = [probabilities(model, data, clips, place=place) for place in places]
        return Segments(seconds, list(model.module.classes), np.stack(p, 1), {}, model.module.multilabel)
    embeddings: dict[str, list[np.ndarray]] = {name: [] for name in model.module.embedding_names}
    for place in places:
        for name, vectors in zip(embeddings, model.embed(data, clips, *place), strict=False):
            embeddings[name].append(vectors)
    return Segments(seconds, embeddings={name: np.stack(v, axis=1) for name, v in embeddings.items()})


def localize(model: Model, data: Dataset, clips: np.ndarray, options: Options) -> Maps:
    """Return the localization map of the middle window of each clip. Raises UserError without maps."""
    if not model.module.has_map:
        raise UserError(
            "evaluate.protocols: localization needs a map: use video_encoder: avolnet, matcher: localize"
        )
    audio, video = model.embed(data, clips)
    maps = model.maps(audio, video).reshape(-1, *model.module.video.map)
    _, height, width, _ = data.video_shape
    is_squeezed = model.config["inputs"]["video"].get("fit") == "squeeze"
    aspect = None if is_squeezed else width / height
    return Maps(maps, aspect, compute_object_maps(model, data, clips))


def _places(data: Dataset, clips: np.ndarray, moments: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the position of the window around each moment in its clip, and of its frames in the window.

    moments: (n, k) s from the clip's start. Yields k pairs of (n,) numbers, as Dataset.read takes them.
    """
    rule, seconds = data.windows, data.seconds[clips]
    width = rule.columns * rule.hop_length / rule.sample_rate  # of a window, s
    for moment in moments.T:
        position = rule.positions(seconds, moment - width / 2)
        start = rule.start_seconds(rule.first_columns(seconds, position))
        yield position, np.clip((moment - start) / width, 0, 1)


# What a protocol needs -> the function that computes it.
OUTPUTS: dict[str, Callable[[Model, Dataset, np.ndarray, Options], Any]] = {
    SHARED_WINDOWS: embed_shared_windows,
    WINDOWS: embed_windows,
    PROBABILITIES: classify,
    SEGMENTS: describe_segments,
    MAPS: localize,
}
