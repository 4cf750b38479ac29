"""Evaluation of a model that localizes sounds, on clips whose objects have boxes.

Each picture is shown with its own sound, and with sounds that nothing in it makes: silence, white noise, and
the sound of a clip that has no label in common (off screen). Thresholds come from the validation split. Two
baselines do not listen: `centre`, a disc in the middle that covers half of the picture, and `object`, the
mean over channels of the absolute features of the model's own picture network: where something is in view,
whether it sounds or not.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from models.checkpoint import Model
from models.evaluation.result import Settings
from pipeline.dataset.dataset import MIDDLE, Dataset
from pipeline.media.spectrogram import SpectrogramStep
from pipeline.media.wav import write_wav
from pipeline.metrics import localization
from pipeline.metrics.localization import negatives
from pipeline.metrics.localization.negatives import NEGATIVES, SOUND
from pipeline.metrics.localization.regions import box_mask, centre_map, resize_to_grid

EXAMPLES = 8  # clips whose maps are returned
NOISES = 32  # different sounds of white noise
NOISE_LEVEL = 0.1  # their standard deviation; full scale is 1

Maps = dict[str, np.ndarray]  # name of a sound, one of SOUND and NEGATIVES -> its maps, (n, GRID, GRID)


def evaluate(
    model: Model, data: Dataset, audio: np.ndarray, video: np.ndarray, settings: Settings
) -> tuple[dict | None, list[dict]]:
    """Measure localization on the clips of the test split that have boxes.

    audio, video: (n, ...) embeddings of the test split. settings.boxes must be there.
    Returns the metrics (None if no clip has boxes), and the maps of a few clips to show, with their boxes.
    """
    boxes, test = settings.boxes or {}, data.indices("test")
    rows = [row for row, clip in enumerate(test) if data.clip_id[clip] in boxes]
    if not rows:
        return None, []
    clips, audio, video = test[rows], audio[rows], video[rows]
    clip_boxes = [boxes[data.clip_id[clip]] for clip in clips]
    maps, object_maps = _maps(model, audio, video), compute_object_maps(model, data, clips)
    metrics = localization.evaluate(maps, clip_boxes, settings.bootstrap, settings.seed, object_maps)
    thresholds = _thresholds(model, data, settings)
    metrics["one_threshold"] = metrics["no_source"] = None
    if thresholds is not None:
        metrics["one_threshold"] = _one_threshold(model, data, clips, audio, video, thresholds, settings)
        metrics["no_source"] = _no_source(model, thresholds, settings)
    return metrics, _examples([data.clip_id[clip] for clip in clips], maps, clip_boxes)


def _maps(model: Model, audio: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Return for each pair the probability that the sound is at a position, (n, height, width)."""
    return model.maps(audio, video).reshape(-1, *model.module.video.map)


def compute_object_maps(model: Model, data: Dataset, clips: np.ndarray) -> np.ndarray | None:
    """Return where something is in the picture of each clip, (n, height, width); None if it has no such map.

    clips: (n,) indices in the data set.
    """
    function = getattr(model.module.video, "object_map", None)
    if function is None or not len(clips):
        return None

    def map_batch(batch: slice) -> np.ndarray:
        _, video = data.read(clips[batch], features=model.features, sides=("video",))
        return model.compute(function, video).float().cpu().numpy()

    return np.concatenate(list(model.batch_size.map(map_batch, len(clips))))


def _on_grid(maps: np.ndarray) -> np.ndarray:
    """Resize maps (n, height, width) to (n, GRID, GRID)."""
    return np.stack([resize_to_grid(m) for m in maps])


# --- sounds that nothing in the picture makes ---------------------------------------------------------------


def negative_sounds(inputs: dict[str, Any], data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return windows of silence and of white noise, as they come out of the pipeline.

    Silence is the feature of digital silence, not zeros. Returns (1, channels, freq, time) and (NOISES, ...).
    inputs: of a model's config.json: how its sound was computed. data: whose windows are cut.
    """
    audio = SimpleNamespace(**{"backend": "scipy"} | inputs["audio"])
    step = SpectrogramStep(audio, inputs["clip_seconds"])
    n_samples = round(inputs["clip_seconds"] * audio.sample_rate)
    noise = np.random.default_rng(seed).normal(0, NOISE_LEVEL * 32767, (NOISES, n_samples))
    waves = [np.zeros(n_samples), *noise.clip(-32767, 32767)]
    sounds = [write_wav(wave.round().astype(np.int16), audio.sample_rate) for wave in waves]
    features = np.stack([outcome.value for outcome in step([{}] * len(sounds), sounds)])
    [start] = data.windows.first_columns(np.array([inputs["clip_seconds"]]), MIDDLE)
    windows = features[..., start : start + data.windows.columns]
    return windows[:1], windows[1:]


def choose_off_screen(labels: Sequence[Sequence[str]], seed: int) -> np.ndarray:
    """Choose for each clip another one that has no label in common with it, at random. Returns (n,) rows.

    labels: of each clip. The row is -1 for a clip without labels, and where there is no such clip.
    """
    rng = np.random.default_rng(seed)
    rows_by_labels: dict[frozenset[str], list[int]] = {}
    for row, clip_labels in enumerate(labels):
        if clip_labels:
            rows_by_labels.setdefault(frozenset(clip_labels), []).append(row)
    choice = np.full(len(labels), -1)
    for names, rows in rows_by_labels.items():
        others = [row for other, its in rows_by_labels.items() if not names & other for row in its]
        if others:
            choice[rows] = rng.choice(others, len(rows))
    return choice


def _negative_maps(
    model: Model,
    data: Dataset,
    clips: np.ndarray,
    audio: np.ndarray,
    video: np.ndarray,
    seed: int,
    label: str,
) -> tuple[np.ndarray, Maps]:
    """Return the maps of each picture with its own sound and with NEGATIVES.

    clips: (n,) indices in the data set; of one split, since their sounds are those of other pictures. audio,
    video: their embeddings. Clips for which no sound is off screen are left out.
    Returns the rows (m,) of the others, and their maps, (m, GRID, GRID) for each sound.
    """
    names = data.class_names(label)
    off_screen = choose_off_screen([names[clip] for clip in clips], seed)
    rows = np.flatnonzero(off_screen >= 0)
    if not len(rows):
        return rows, {}
    silence, noise = (model.embed_audio(x) for x in negative_sounds(model.config["inputs"], data, seed))
    sounds = {
        SOUND: audio[rows],
        "silence": np.repeat(silence, len(rows), 0),
        "noise": noise[np.arange(len(rows)) % NOISES],
        "off_screen": audio[off_screen[rows]],
    }
    return rows, {name: _on_grid(_maps(model, sound, video[rows])) for name, sound in sounds.items()}


def _without_silent_objects(data: Dataset, clips: np.ndarray, boxes: dict) -> np.ndarray:
    """Return the row numbers of the clips in which no object is in view that does not sound.

    The clip table does not say what that object is, so that its sound might be chosen as one off screen.
    """
    pairs = [boxes.get(data.clip_id[clip]) for clip in clips]
    return np.array([row for row, pair in enumerate(pairs) if pair is None or pair[1] is None], int)


# --- one threshold for all pictures -------------------------------------------------------------------------


def _thresholds(model: Model, data: Dataset, settings: Settings) -> dict[str, float] | None:
    """Return the threshold of the model and of each baseline; None if there are no clips to derive them from.

    They come from the validation split. That of `centre` is such that the disc covers half of the picture.
    """
    val = data.indices("val")
    val = val[_without_silent_objects(data, val, settings.boxes or {})]
    if not len(val):
        return None
    rows, maps = _negative_maps(model, data, val, *model.embed(data, val), settings.seed, settings.label)
    if not len(rows):
        return None
    thresholds = {
        "model": negatives.negative_threshold(maps),
        "centre": float(np.median(centre_map())),
    }
    object_maps = compute_object_maps(model, data, val[rows])
    if object_maps is not None:  # the same for every sound
        thresholds["object"] = negatives.negative_threshold(dict.fromkeys(NEGATIVES, _on_grid(object_maps)))
    return thresholds


def _baseline_maps(model: Model, data: Dataset, clips: np.ndarray) -> dict[str, np.ndarray]:
    """Return `centre` and, if the model has it, `object` -> maps (n, GRID, GRID), for any sound."""
    maps = {"centre": np.repeat(centre_map()[None], len(clips), 0)}
    object_maps = compute_object_maps(model, data, clips)
    return maps if object_maps is None else maps | {"object": _on_grid(object_maps)}


def _one_threshold(
    model: Model,
    data: Dataset,
    clips: np.ndarray,
    audio: np.ndarray,
    video: np.ndarray,
    thresholds: dict[str, float],
    settings: Settings,
) -> dict | None:
    """Return the metrics of `negatives.evaluate`, and those of the baselines under their names.

    Baselines do not listen: they have only one of the negatives, `silence`, since all are the same.
    clips: (n,) indices in the data set, with boxes. audio, video: their embeddings.
    Returns None if there is no clip without a silent object, or no sound that is off screen.
    """
    boxes = settings.boxes or {}
    alone = _without_silent_objects(data, clips, boxes)
    rows, maps = _negative_maps(
        model, data, clips[alone], audio[alone], video[alone], settings.seed, settings.label
    )
    if not len(rows):
        return None
    clips = clips[alone][rows]
    truth = np.stack([box_mask(boxes[data.clip_id[clip]][0]) for clip in clips]).astype(np.float32)

    def measure(predictor: str, predictor_maps: Maps) -> dict:
        return negatives.evaluate(
            predictor_maps,
            truth,
            thresholds[predictor],
            settings.bootstrap,
            settings.seed,
            data.group[clips],
        )

    metrics = measure("model", maps)
    for name, baseline in _baseline_maps(model, data, clips).items():
        deaf = measure(name, dict.fromkeys((SOUND, *NEGATIVES), baseline))
        metrics[name] = {key: v for key, v in deaf.items() if key not in ("noise", "off_screen", "agreement")}
    return metrics


def _no_source(model: Model, thresholds: dict[str, float], settings: Settings) -> dict | None:
    """Return the metrics of clips in which nothing in view makes the sound: `silent` and `off_screen`.

    `silent`: nothing sounds; `off_screen`: something that is not in view. Each is None if there are no such
    clips, or has the metrics of `negatives.evaluate_negatives`, and those of the baselines.
    Returns None if there are neither.
    """
    data = settings.no_source
    if data is None or not len(data):
        return None
    clips = np.arange(len(data))
    maps = {"model": _on_grid(_maps(model, *model.embed(data, clips)))} | _baseline_maps(model, data, clips)
    has_sound = np.array([bool(labels) for labels in data.labels])

    def measure(rows: np.ndarray) -> dict | None:
        if not len(rows):
            return None
        metrics = {
            name: negatives.evaluate_negatives(
                values[rows], thresholds[name], settings.bootstrap, settings.seed, data.group[rows]
            )
            for name, values in maps.items()
        }
        return metrics.pop("model") | metrics

    return {
        "silent": measure(np.flatnonzero(~has_sound)),
        "off_screen": measure(np.flatnonzero(has_sound)),
    }


def _examples(ids: list[str], maps: np.ndarray, boxes: list[localization.BoxPair]) -> list[dict]:
    """Return the maps of a few clips with their boxes. Clips with two objects come first."""
    examples = []
    for i in sorted(range(len(ids)), key=lambda i: boxes[i][1] is None)[:EXAMPLES]:
        box, silent_box = boxes[i]
        clip_map = maps[i].round(3).tolist()
        examples.append({"clip_id": ids[i], "map": clip_map, "box": box, "silent_box": silent_box})
    return examples
