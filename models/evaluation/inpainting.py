"""What a masked autoencoder fills in: how well, on the test split, and pictures of it."""

from typing import Any

import numpy as np
import torch

from models.checkpoint import BATCH, Model
from models.evaluation.result import Evaluation, Settings
from models.joint.cav_mae import SIDES, select_patches
from models.tasks.pretraining import normalize_each
from pipeline.dataset.dataset import Dataset
from pipeline.metrics.bootstrap import codes, interval, number, resamples

SHOWN = 6  # clips
GREY = 128


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """The errors of what is filled in on the test split, and pictures of it."""
    test = data.of("test")
    return Evaluation(
        {"reconstruction": errors(model, data, test, settings.bootstrap, settings.seed)},
        inpainted=pictures(model, data, test, settings.seed),
        normalized=model.module.settings["normalize_patches"],
    )


def errors(model: Model, data: Dataset, clips: np.ndarray, bootstrap: int, seed: int) -> dict[str, Any]:
    """{"audio_mse", "video_mse", "ci", "chance", "n"} of masked patches, as the loss compares them.

    Masks are drawn anew, always the same ones. chance: every masked value is the mean of what is seen of its
    clip (of patches that are normalised by themselves: is 0). Intervals are over clips (groups).
    """
    module = model.module
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[np.ndarray]] = {
        f"{kind}_{side}": [] for kind in ("error", "mean") for side in SIDES
    }
    for start in range(0, len(clips), BATCH):
        windows = [torch.as_tensor(x).to(model.device) for x in data.read(clips[start : start + BATCH])]
        with torch.inference_mode():
            keep, masked = module.draw_masks(len(windows[0]), generator)
            filled = module.reconstruct(*windows, keep, masked)
            for side, x in zip(SIDES, windows, strict=True):
                target = module.targets(side, x, masked[side])
                guess = module.targets(side, x, keep[side]).mean((1, 2), keepdim=True)
                for kind, value in (("error", filled[side]), ("mean", guess)):
                    error = (value.float() - target).square().mean((1, 2))
                    found[f"{kind}_{side}"].append(error.cpu().numpy())
    values = {name: np.concatenate(parts) for name, parts in found.items()}
    code, count = codes(data.group[clips].tolist())
    weights = [w[:, code] for w in resamples(count, bootstrap, seed, width=len(clips))]
    told: dict[str, Any] = {"n": len(clips), "ci": {}, "chance": {}}
    for side in SIDES:
        error = values[f"error_{side}"].astype(float)
        told[f"{side}_mse"] = number(error.mean())
        told["ci"][f"{side}_mse"] = interval([w @ error / w.sum(1) for w in weights])
        told["chance"][f"{side}_mse"] = number(values[f"mean_{side}"].mean())
    return told


def pictures(model: Model, data: Dataset, clips: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """A few clips as {"clip_id", "audio": [whole, masked, filled], "video": the same}: sounds (freq, time)
    float, NaN where masked, pictures (height, width, 3) uint8, grey there.

    Where patches are normalised by themselves, the mean and deviation of the true patch are lent to them.
    """
    module, encoder = model.module, model.module.encoder
    some = np.random.default_rng(seed).permutation(clips)[:SHOWN]
    windows = [torch.as_tensor(x).to(model.device) for x in data.read(some)]
    shown: list[dict[str, Any]] = [{"clip_id": data.clip_id[i]} for i in some]
    with torch.inference_mode():
        keep, masked = module.draw_masks(len(some), torch.Generator().manual_seed(seed))
        filled = module.reconstruct(*windows, keep, masked)
        for side, x in zip(SIDES, windows, strict=True):
            whole = encoder.normalize(side, encoder.split_patches(side, x))
            guess = filled[side].float()
            if module.settings["normalize_patches"]:
                _, mean, deviation = normalize_each(select_patches(whole, masked[side]))
                guess = guess * deviation + mean
            places = masked[side][:, :, None].expand_as(guess)
            hidden = torch.zeros_like(whole).scatter(1, places, 1.0)
            three = [whole, whole, whole.scatter(1, places, guess)]
            drawn = [encoder.denormalize(side, patches).cpu().numpy() for patches in three]
            gone = encoder.denormalize(side, hidden) > encoder.denormalize(side, torch.zeros_like(hidden))
            drawn[1] = np.where(gone.cpu().numpy(), np.nan if side == "audio" else GREY, drawn[1])
            for i, row in enumerate(shown):
                of_one = [values[i] for values in drawn]
                row[side] = [v[:, :, 0] if side == "audio" else v.round().astype(np.uint8) for v in of_one]
    return shown
