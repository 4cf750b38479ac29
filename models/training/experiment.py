"""The experiment that the parameters describe, and what else its model depends on."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from models.tasks import tasks
from models.tasks._experiment import Experiment
from models.weights import file_digest, list_network_files
from pipeline.dataset.dataset import Dataset
from pipeline.dataset.windows import Segments
from pipeline.errors import UserError
from pipeline.media.spectrogram import SpectrogramStep

PRETRAINING = "pretraining"  # the task of the stage pretrain


def configure_experiment(params: Any, **changes: Any) -> Experiment:
    """Return the experiment of the stage train that params.yaml describes.

    params: the content of params.yaml. changes: fields of the experiment, such as task, loss or seed, whose
    values replace those in `params`.
    """
    task = changes.get("task") or params.task
    return tasks.get(task).experiment_type.from_params(params, **changes | {"task": task})


def configure_pretraining(params: Any, **changes: Any) -> Experiment:
    """Return the experiment of the stage pretrain that params.yaml describes.

    params: the content of params.yaml. changes: fields of the experiment whose values replace those in
    `params`, such as seed; `pretraining` may contain only some keys of that section.
    """
    return configure_experiment(params, **changes | {"task": PRETRAINING})


def list_encoder_sources(experiment: Experiment, data: Dataset) -> list[Any]:
    """Return what some encoders depend on beside parameters, clips, code and the weights they start from.

    For encoders that read features of towers, that is the digest of the features. For an encoder of both
    modalities, it is the mean and standard deviation of the spectrograms. For networks of other libraries, it
    is the digests of the files from which they are loaded. The list is empty for other models.
    """
    if experiment.encoder:
        return [data.statistics]
    sources: list[Any] = [data.features_digest] if experiment.towers else []
    for side in ("audio", "video"):
        name = getattr(experiment, f"{side}_encoder", None) or ""
        sources += [file_digest(path) for path in list_network_files(name, experiment.encoders.get(side, {}))]
    return sources


def describe_features(experiment: Experiment, data: Dataset) -> dict[str, dict[str, Any]]:
    """Return `features` of config.json: what encoders that read features of towers get.

    "audio", "video" -> `towers`, name -> keywords; `dim`, the length of a vector; and for sound `columns` and
    `hop_columns`, the length of a segment and the distance between two, in spectrogram columns.
    Raises UserError if the features are not there.
    """
    features: dict[str, dict[str, Any]] = {}
    for side in ("audio", "video"):
        if side not in experiment.towers:
            continue
        if side not in data.features:
            raise UserError(f"{side}_encoder: cached: no features are stored: run dvc repro {side}_towers")
        features[side] = {"towers": experiment.towers[side], "dim": data.features[side].shape[2]}
        if side == "audio":
            segment_seconds, hop_seconds = (
                experiment.towers[f"{name}_seconds"] for name in ("segment", "hop")
            )
            features[side] |= asdict(Segments.from_seconds(segment_seconds, hop_seconds, data.windows))
    return features


def window_shapes(experiment: Experiment, inputs: dict[str, Any], data: Dataset) -> dict[str, list[int]]:
    """Return `audio_shape` and `video_shape` of config.json, the shapes of a window's sides.

    If no clip has a side, its shape is that of the parameters. inputs: as `select_input_params` returns them.
    """
    audio_shape, video_shape = list(data.audio_shape), list(data.video_shape)
    if not data.has_side("audio").any():
        spectrogram = SpectrogramStep(SimpleNamespace(**inputs["audio"]), inputs["clip_seconds"])
        audio_shape = [*spectrogram.shape[:2], data.windows.columns]
    if not data.has_side("video").any():
        video, face_side = inputs["video"], inputs["faces"]["size"]
        size = [face_side] * 2 if experiment.input == "face" else [video["height"], video["width"]]
        video_shape = [data.windows.window_frames, *size, 3]
    return {"audio_shape": audio_shape, "video_shape": video_shape}


def select_input_params(params: Any) -> dict[str, Any]:
    """Return the parameters on which a model's inputs depend, as config.json has them under `inputs`.

    They are the sections audio, video and faces of params.yaml, and `clip_seconds`.
    """
    sections = {name: getattr(params, name).model_dump() for name in ("audio", "video", "faces")}
    return sections | {"clip_seconds": params.data.clip_seconds}
