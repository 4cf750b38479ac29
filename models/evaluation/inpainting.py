"""Evaluation of a masked autoencoder: errors of the patches that it predicts, and pictures of them."""

from typing import Any

import numpy as np
import torch

from models.checkpoint import BATCH, Model
from models.evaluation.result import Evaluation, Settings
from models.joint.cav_mae import SIDES, select_patches
from models.tasks.pretraining import normalize_each
from pipeline.dataset.dataset import Dataset
from pipeline.metrics.bootstrap import encode_groups, percentile_interval, resample_groups, round_finite

MAX_CLIPS = 6  # of `pictures`
GREY = 128  # of a masked pixel


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Measure the errors of predicted patches on the test split, and draw some of them."""
    test = data.indices("test")
    return Evaluation(
        {"reconstruction": errors(model, data, test, settings.bootstrap, settings.seed)},
        inpainted=pictures(model, data, test, settings.seed),
        normalized=model.module.settings["normalize_patches"],
    )


def errors(model: Model, data: Dataset, clips: np.ndarray, bootstrap: int, seed: int) -> dict[str, Any]:
    """Compute {"audio_mse", "video_mse", "ci", "chance", "n"} of masked patches, on the scale of the loss.

    Masks depend on the seed alone. chance: the error of predicting the mean of the clip's visible values (0,
    if patches are normalized one by one). Intervals are over groups of clips.
    """
    module = model.module
    generator = torch.Generator().manual_seed(seed)
    batches: dict[str, list[np.ndarray]] = {
        f"{kind}_{side}": [] for kind in ("error", "chance") for side in SIDES
    }
    for start in range(0, len(clips), BATCH):
        windows = [torch.as_tensor(x).to(model.device) for x in data.read(clips[start : start + BATCH])]
        with torch.inference_mode():
            visible, masked = module.draw_masks(len(windows[0]), generator)
            predictions = module.reconstruct(*windows, visible, masked)
            for side, x in zip(SIDES, windows, strict=True):
                target = module.targets(side, x, masked[side])
                mean = module.targets(side, x, visible[side]).mean((1, 2), keepdim=True)
                for kind, value in (("error", predictions[side]), ("chance", mean)):
                    error = (value.float() - target).square().mean((1, 2))
                    batches[f"{kind}_{side}"].append(error.cpu().numpy())
    values = {name: np.concatenate(parts) for name, parts in batches.items()}
    code, count = encode_groups(data.group[clips].tolist())
    weights = [w[:, code] for w in resample_groups(count, bootstrap, seed, width=len(clips))]
    metrics: dict[str, Any] = {"n": len(clips), "ci": {}, "chance": {}}
    for side in SIDES:
        error = values[f"error_{side}"].astype(float)
        metrics[f"{side}_mse"] = round_finite(error.mean())
        metrics["ci"][f"{side}_mse"] = percentile_interval([w @ error / w.sum(1) for w in weights])
        metrics["chance"][f"{side}_mse"] = round_finite(values[f"chance_{side}"].mean())
    return metrics


def pictures(model: Model, data: Dataset, clips: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Draw a few clips: {"clip_id", "audio": [original, masked, reconstruction], "video": the same}.

    Sounds are (freq, time) float, NaN where masked; pictures (height, width, 3) uint8, grey where masked.
    If patches are normalized one by one, predictions get the mean and deviation of the true patch.
    """
    module, encoder = model.module, model.module.encoder
    sample = np.random.default_rng(seed).permutation(clips)[:MAX_CLIPS]
    windows = [torch.as_tensor(x).to(model.device) for x in data.read(sample)]
    rows: list[dict[str, Any]] = [{"clip_id": data.clip_id[i]} for i in sample]
    with torch.inference_mode():
        visible, masked = module.draw_masks(len(sample), torch.Generator().manual_seed(seed))
        predictions = module.reconstruct(*windows, visible, masked)
        for side, x in zip(SIDES, windows, strict=True):
            original = encoder.normalize(side, encoder.split_patches(side, x))
            prediction = predictions[side].float()
            if module.settings["normalize_patches"]:
                _, mean, deviation = normalize_each(select_patches(original, masked[side]))
                prediction = prediction * deviation + mean
            numbers = masked[side][:, :, None].expand_as(prediction)
            mask = torch.zeros_like(original).scatter(1, numbers, 1.0)
            patches = [original, original, original.scatter(1, numbers, prediction)]
            images = [encoder.denormalize(side, x).cpu().numpy() for x in patches]
            is_masked = encoder.denormalize(side, mask) > encoder.denormalize(side, torch.zeros_like(mask))
            images[1] = np.where(is_masked.cpu().numpy(), np.nan if side == "audio" else GREY, images[1])
            for i, row in enumerate(rows):
                clip_images = [x[i] for x in images]
                row[side] = [
                    x[:, :, 0] if side == "audio" else x.round().astype(np.uint8) for x in clip_images
                ]
    return rows
