"""Evaluation of a masked autoencoder: errors of the patches that it predicts, and images of some of them."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import BATCH, Model
from models.evaluation.result import Evaluation, Settings
from models.joint.cav_mae import SIDES, select_patches
from models.tasks.pretraining import Pretraining, standardize_patches
from pipeline.dataset.dataset import Dataset
from pipeline.metrics.bootstrap import encode_groups, percentile_interval, resample_groups, round_finite

MAX_EXAMPLES = 6  # clips whose reconstructions are shown
GREY = 128  # value of a masked pixel in these images
Indices = dict[str, Tensor]  # modality -> of each clip, the numbers of some patches, (n, patches)


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Measure the errors of predicted patches on the test split, and reconstruct a few clips to show."""
    test_clips = data.indices("test")
    errors = measure_errors(model, data, test_clips, settings.bootstrap, settings.seed)
    return Evaluation(
        metrics={"reconstruction": errors},
        inpainting_examples=reconstruct_examples(model, data, test_clips, settings.seed),
        has_normalized_patches=model.module.settings["normalize_patches"],
    )


def measure_errors(
    model: Model, data: Dataset, clips: np.ndarray, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Measure the errors of predicted patches on the scale of the loss. Masks depend on the seed alone.

    clips: (n,) indices in the data set. bootstrap: number of resamples for each interval.
    Returns `audio_mse` and `video_mse`, the mean squared errors; `n`; and under the same two names `ci`, 95%
    intervals over groups of clips, and `chance`, the errors of predicting the mean of the clip's visible
    values (which is 0 if patches are normalized one by one).
    """
    errors, chance_errors = _measure_clip_errors(model, data, clips, seed)
    code, count = encode_groups(data.group[clips].tolist())
    weights = [w[:, code] for w in resample_groups(count, bootstrap, seed, width=len(clips))]
    metrics: dict[str, Any] = {"n": len(clips), "ci": {}, "chance": {}}
    for modality in SIDES:
        name, error = f"{modality}_mse", errors[modality].astype(float)
        metrics[name] = round_finite(error.mean())
        metrics["ci"][name] = percentile_interval([w @ error / w.sum(1) for w in weights])
        metrics["chance"][name] = round_finite(chance_errors[modality].mean())
    return metrics


def _measure_clip_errors(
    model: Model, data: Dataset, clips: np.ndarray, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return two dictionaries, modality -> (n,) mean squared errors over each clip's masked patches.

    The first is of the model's predictions, the second of predicting the mean of the clip's visible values.
    """
    module: Pretraining = model.module
    generator = torch.Generator().manual_seed(seed)
    errors: dict[str, list[np.ndarray]] = {modality: [] for modality in SIDES}
    chance_errors: dict[str, list[np.ndarray]] = {modality: [] for modality in SIDES}
    for start in range(0, len(clips), BATCH):
        batch = clips[start : start + BATCH]
        # Drawn for whole batches: the masks do not depend on what fits into the memory of a GPU.
        visible, masked = module.draw_masks(len(batch), generator)
        measure = partial(_measure_rows, model, data, batch, visible, masked)
        for measured in model.batch_size.map(measure, len(batch)):
            for modality in SIDES:
                errors[modality].append(measured[0][modality])
                chance_errors[modality].append(measured[1][modality])
    return (
        {modality: np.concatenate(batches) for modality, batches in errors.items()},
        {modality: np.concatenate(batches) for modality, batches in chance_errors.items()},
    )


@torch.inference_mode()
def _measure_rows(
    model: Model, data: Dataset, clips: np.ndarray, visible: Indices, masked: Indices, rows: slice
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what `_measure_clip_errors` returns, for some rows of `clips`, `visible` and `masked`."""
    module: Pretraining = model.module
    windows = _read_windows(model, data, clips[rows])
    visible, masked = _select_rows(visible, rows), _select_rows(masked, rows)
    predictions = _reconstruct(model, windows, visible, masked)
    errors, chance_errors = {}, {}
    for modality in SIDES:
        target = module.select_targets(modality, windows[modality], masked[modality])
        visible_values = module.select_targets(modality, windows[modality], visible[modality])
        mean = visible_values.mean((1, 2), keepdim=True)
        errors[modality] = _clip_mse(predictions[modality], target)
        chance_errors[modality] = _clip_mse(mean, target)
    return errors, chance_errors


def _select_rows(indices: Indices, rows: slice) -> Indices:
    return {modality: x[rows] for modality, x in indices.items()}


def _reconstruct(
    model: Model, windows: dict[str, Tensor], visible: Indices, masked: Indices
) -> dict[str, Tensor]:
    """Call Pretraining.reconstruct in the precision of the model."""
    function = partial(model.module.reconstruct, visible=visible, masked=masked)
    return model.compute(function, *(windows[modality] for modality in SIDES))


def _read_windows(model: Model, data: Dataset, clips: np.ndarray) -> dict[str, Tensor]:
    """Read the middle window of each clip onto the model's device: modality -> tensor."""
    arrays = zip(SIDES, data.read(clips), strict=True)
    return {modality: torch.as_tensor(array).to(model.device) for modality, array in arrays}


def _clip_mse(predictions: Tensor, target: Tensor) -> np.ndarray:
    """Return the mean squared error of each clip, (n,). target: (n, patches, values)."""
    return (predictions.float() - target).square().mean((1, 2)).cpu().numpy()


def reconstruct_examples(model: Model, data: Dataset, clips: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Reconstruct the masked patches of a few of the clips, drawn at random, as images to show.

    clips: (n,) indices in the data set. Returns for each chosen clip `clip_id`, and under `audio` and `video`
    three images: the original, the masked one, and the reconstruction.
    Spectrograms are (freq, time) float, NaN where masked. Frames are (height, width, 3) uint8, grey where
    masked.
    """
    module: Pretraining = model.module
    sample = np.random.default_rng(seed).permutation(clips)[:MAX_EXAMPLES]
    all_visible, all_masked = module.draw_masks(len(sample), torch.Generator().manual_seed(seed))

    @torch.inference_mode()
    def render_rows(rows: slice) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        windows = _read_windows(model, data, sample[rows])
        visible, masked = _select_rows(all_visible, rows), _select_rows(all_masked, rows)
        predictions = _reconstruct(model, windows, visible, masked)
        return {
            modality: _render_images(
                module, modality, windows[modality], masked[modality], predictions[modality].float()
            )
            for modality in SIDES
        }

    examples: list[dict[str, Any]] = []
    for images in model.batch_size.map(render_rows, len(sample)):
        for rendered in zip(*(zip(*images[modality], strict=True) for modality in SIDES), strict=True):
            clip_id = data.clip_id[sample[len(examples)]]
            examples.append({"clip_id": clip_id} | dict(zip(SIDES, map(list, rendered), strict=True)))
    return examples


def _render_images(
    module: Pretraining, modality: str, x: Tensor, masked: Tensor, predictions: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images of n clips: the originals, the masked ones, and the reconstructions, (n, ...) each.

    x: the windows of one modality. masked: (n, m) indices of masked patches. predictions: (n, m, values). If
    the model predicts patches that are normalized one by one, the predictions get the mean and the deviation
    of the true patches.
    """
    encoder = module.encoder
    patches = encoder.normalize(modality, encoder.split_patches(modality, x))  # (n, patches, values)
    if module.settings["normalize_patches"]:
        _, mean, deviation = standardize_patches(select_patches(patches, masked))
        predictions = predictions * deviation + mean
    indices = masked[:, :, None].expand_as(predictions)  # for each predicted value, that of its patch
    reconstructed_patches = patches.scatter(1, indices, predictions)
    originals = encoder.denormalize(modality, patches).cpu().numpy()
    reconstructions = encoder.denormalize(modality, reconstructed_patches).cpu().numpy()
    # Which pixels are masked: render patches of zeros, with ones in the masked patches, and see which pixels
    # are brighter than those of zeros.
    zeros = torch.zeros_like(patches)
    ones_where_masked = zeros.scatter(1, indices, 1.0)
    is_masked = encoder.denormalize(modality, ones_where_masked) > encoder.denormalize(modality, zeros)
    hidden_value = np.nan if modality == "audio" else GREY
    masked_images = np.where(is_masked.cpu().numpy(), hidden_value, originals)
    if modality == "audio":
        # The first channel of (n, freq, time, channels).
        return originals[..., 0], masked_images[..., 0], reconstructions[..., 0]
    return _to_pixels(originals), _to_pixels(masked_images), _to_pixels(reconstructions)


def _to_pixels(values: np.ndarray) -> np.ndarray:
    """Round values from 0 to 255 to uint8."""
    return values.round().astype(np.uint8)
