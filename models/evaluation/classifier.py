"""Evaluation of a classifier on the test split."""

from typing import Any

import numpy as np

from models.checkpoint import Model
from models.evaluation.result import Evaluation, Settings
from models.inference.classify import probabilities
from models.tasks._plan import Plan
from models.tasks._verification import Trials
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.metrics import classification


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Measure classification on the test split's middle windows and, if they apply,

    - `without`: a model of both modalities without one (silence, or a black picture, for two encoders);
    - `swapped`: a stacked network of one modality on the other one, which it was not trained on;
    - `verification`, if the label is the subject: by `audio`, `video`, or the mean of both; the only metrics
      for people who are not in the training split (split.by: subject).

    Probabilities are means over settings.frame_positions positions of the frames in a window.
    Raises UserError if the data have other classes than the model, or if there is nothing to test
    (Classification.plan).
    """
    config, plan = model.config, plan_for(model, data)
    bootstrap, seed, frame_positions = settings.bootstrap, settings.seed, settings.frame_positions
    names, multilabel = config["classes"], config["classification"]["multilabel"]
    if plan.config_entries["classes"] != names:
        raise UserError("the model was trained for other classes than the data have: dvc repro train")
    test = plan.clips["test"]
    result = Evaluation()
    metrics = result.metrics
    assert plan.targets is not None  # a classifier has them
    if len(test):
        targets, groups = plan.targets[test] > 0, data.group[test].tolist()
        options = multilabel, groups, bootstrap, seed

        def evaluate_variant(**variant: Any) -> dict[str, Any]:
            p = probabilities(model, data, test, frames=frame_positions, **variant)
            return classification.evaluate(p, targets, *options)

        p = probabilities(model, data, test, frames=frame_positions)
        metrics["classification"] = classification.evaluate(p, targets, *options)
        if config["modality"] == "both":
            metrics["without"] = {side: evaluate_variant(blank=side) for side in ("audio", "video")}
        elif config["classification"]["fusion"] == "stack":
            metrics["swapped"] = evaluate_variant(swapped=True)
        result.per_class = classification.evaluate_classes(p, targets, names, *options)
        if not multilabel:
            predicted = [names[i] for i in p.argmax(1)]
            actual = [names[i] for i in targets.argmax(1)]
            ids = [data.clip_id[i] for i in test]
            rows = zip(ids, actual, predicted, p.max(1).round(4).tolist(), strict=True)
            keys = ("clip_id", "actual", "predicted", "probability")
            result.confusion = [dict(zip(keys, row, strict=True)) for row in rows]
            result.calibration = classification.calibration_bins(p, targets)
    if config["label"] == "subject" and (verification := _verify(model, data, bootstrap, seed)):
        metrics["verification"] = verification
    return result


def plan_for(model: Model, data: Dataset) -> Plan:
    """Plan the data with the model's own task: clips of each split and their targets."""
    return model.module.plan(model.module.experiment_type.from_config(model.config), data)


def correct_predictions(
    model: Model, data: Dataset, split: str = "test", **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each clip of a split is classified correctly, (n,) bool, and the clips, (n,).

    options: of `probabilities`.
    """
    plan = plan_for(model, data)
    clips = plan.clips[split]
    assert plan.targets is not None
    return probabilities(model, data, clips, **options).argmax(1) == plan.targets[clips].argmax(1), clips


def _verify(model: Model, data: Dataset, bootstrap: int, seed: int) -> dict[str, Any]:
    """Measure verification by each modality and by both; empty if the test split has no trials."""
    trials = Trials.draw(data, data.indices("test"), seed)
    if not trials:
        return {}
    sides = zip(model.module.embedding_names, model.embed(data, trials.clips), strict=False)
    return trials.evaluate(dict(sides), bootstrap, seed)
