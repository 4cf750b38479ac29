"""Evaluation of a classifier on the test split."""

from typing import Any

import numpy as np

from models.checkpoint import Model
from models.evaluation.predictions import ClipColumns
from models.evaluation.result import Evaluation, Settings
from models.inference.classify import probabilities
from models.tasks._plan import Plan
from models.tasks._verification import Trials
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.metrics import classification


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Evaluate a classifier on the middle windows of the test split. Sections of metrics, if they apply:

    - `classification`: the classes of clips, unless training has none of the classes of the test split;
    - `without`: the same for a model of both modalities without one (silence, or a black picture, for two
      encoders);
    - `swapped`: the same for a stacked network of one modality on the other one, which it was not trained on,
      for clips that have both;
    - `verification`, if the label is the subject: do two recordings show the same person? By `audio`, `video`
      and the mean of both. The only metrics if the people of the test split are not in the training split.

    Probabilities are means over settings.frame_positions positions of the frames in a window.
    Raises UserError if the data have other classes than the model, or if nothing can be tested.
    """
    config = model.config
    plan = plan_data(model, data)
    bootstrap, seed = settings.bootstrap, settings.seed
    names, multilabel = config["classes"], config["classification"]["multilabel"]
    if plan.config_entries["classes"] != names:
        raise UserError("the model was trained for other classes than the data have: dvc repro train")
    test = plan.clips["test"]
    result = Evaluation()
    metrics = result.metrics
    assert plan.targets is not None  # a classifier has them
    columns = ClipColumns.read(data, config["label"])
    if len(test):
        all_targets = plan.targets > 0
        targets = all_targets[test]
        options = multilabel, data.group[test].tolist(), bootstrap, seed

        def evaluate_variant(clips: np.ndarray, **variant: Any) -> dict[str, Any]:
            p = probabilities(model, data, clips, frames=settings.frame_positions, **variant)
            groups = data.group[clips].tolist()
            return classification.evaluate(p, all_targets[clips], multilabel, groups, bootstrap, seed)

        p = probabilities(model, data, test, frames=settings.frame_positions)  # (n, classes)
        metrics["classification"] = classification.evaluate(p, targets, *options)
        if config["modality"] == "both":
            metrics["without"] = {
                modality: evaluate_variant(test, blank=modality) for modality in ("audio", "video")
            }
        elif config["classification"]["fusion"] == "stack":
            has_both = test[(data.has_side("audio") & data.has_side("video"))[test]]
            if len(has_both):
                metrics["swapped"] = evaluate_variant(has_both, swapped=True)
        result.predictions.append(columns.classes(test, p, targets, names, multilabel))
        result.per_class = classification.evaluate_classes(p, targets, names, *options)
        if not multilabel:
            result.confusion = _confusion_rows([data.clip_id[clip] for clip in test], p, targets, names)
            result.calibration = classification.calibration_bins(p, targets)
    trials = Trials.draw(data, data.indices("test"), seed) if config["label"] == "subject" else None
    if trials:
        scores = _score_trials(model, data, trials)
        metrics["verification"] = trials.evaluate(scores, bootstrap, seed)
        first, second = trials.clips[trials.first], trials.clips[trials.second]
        result.predictions.append(columns.trials(first, second, scores, trials.is_same))
    return result


def _confusion_rows(
    clip_ids: list[str], p: np.ndarray, targets: np.ndarray, names: list[str]
) -> list[dict[str, Any]]:
    """Return a row for each clip: its actual class, the predicted one, and the probability of that.

    p: (n, classes) probabilities. targets: (n, classes) bool. names: of the classes.
    """
    rows = []
    for clip_id, clip_p, target in zip(clip_ids, p, targets, strict=True):
        rows.append(
            {
                "clip_id": clip_id,
                "actual": names[target.argmax()],
                "predicted": names[clip_p.argmax()],
                "probability": float(clip_p.max().round(4)),
            }
        )
    return rows


def plan_data(model: Model, data: Dataset) -> Plan:
    """Choose the clips of each split and their targets, as the training of this model would choose them."""
    experiment = model.module.experiment_type.from_config(model.config)
    return model.module.plan(experiment, data)


def correct_predictions(
    model: Model, data: Dataset, split: str = "test", **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether the predicted class of each clip of a split is correct, (n,) bool, and the clips, (n,).

    The clips are indices in the data set. options: keywords of models.inference.classify.probabilities:
    `blank` (the modality to leave out), `swapped`, `frames`.
    """
    plan = plan_data(model, data)
    clips = plan.clips[split]
    assert plan.targets is not None  # a classifier has them
    is_correct = probabilities(model, data, clips, **options).argmax(1) == plan.targets[clips].argmax(1)
    return is_correct, clips


def _score_trials(model: Model, data: Dataset, trials: Trials) -> dict[str, np.ndarray]:
    """Score pairs of recordings: does the model's embedding tell those of one person from others?

    Returns modality -> scores (t,), with `both` for the mean score of two modalities.
    """
    # `embed` returns two arrays, also if there is only one embedding: then both are the same.
    embeddings = zip(model.module.embedding_names, model.embed(data, trials.clips), strict=False)
    return trials.score(dict(embeddings))
