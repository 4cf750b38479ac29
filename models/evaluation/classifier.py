"""What a classifier is worth, on clips that neither training nor its choices ever saw."""

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
    """Classification on the test split's middle windows; beside it, where it applies,

    - `without`: of both modalities, with one missing (silence, or a black picture, for two encoders);
    - `swapped`: of a stacked network of one modality, on the other, which it never saw;
    - `verification`, where the label is the subject: by `audio`, `video`, or the mean of both; it is all that
      there is for people whom training never saw (split.by: subject).

    settings.looks: at how many places in a window it looks at the picture; probabilities are averaged.
    Raises UserError where the model knows other classes than the data, and where there is nothing to test
    (Classification.plan, which training asks first).
    """
    config, plan = model.config, planned(model, data)
    bootstrap, seed, looks = settings.bootstrap, settings.seed, settings.looks
    names, many = config["classes"], model.module.multilabel
    if plan.about["classes"] != names:
        raise UserError("the model was trained for other classes than the data have: dvc repro train")
    test = plan.clips["test"]
    found = Evaluation()
    metrics = found.metrics
    assert plan.targets is not None  # a classifier's
    if len(test):
        targets, groups = plan.targets[test] > 0, data.group[test].tolist()
        how_judged = many, groups, bootstrap, seed

        def judged(**how: Any) -> dict[str, Any]:
            p = probabilities(model, data, test, looks=looks, **how)
            return classification.evaluate(p, targets, *how_judged)

        p = probabilities(model, data, test, looks=looks)
        metrics["classification"] = classification.evaluate(p, targets, *how_judged)
        if config["modality"] == "both":
            metrics["without"] = {side: judged(blank=side) for side in ("audio", "video")}
        elif config["classification"]["fusion"] == "stack":
            metrics["swapped"] = judged(swapped=True)
        found.per_class = classification.per_class(p, targets, names, *how_judged)
        if not many:
            told = [names[i] for i in p.argmax(1)]
            actual = [names[i] for i in targets.argmax(1)]
            ids = [data.clip_id[i] for i in test]
            rows = zip(ids, actual, told, p.max(1).round(4).tolist(), strict=True)
            keys = ("clip_id", "actual", "predicted", "probability")
            found.confusion = [dict(zip(keys, row, strict=True)) for row in rows]
            found.calibration = classification.calibration(p, targets)
    if config["label"] == "subject" and (verified := _verified(model, data, bootstrap, seed)):
        metrics["verification"] = verified
    return found


def planned(model: Model, data: Dataset) -> Plan:
    """What the model's own task makes of the data: clips, and which class they are."""
    return model.module.plan(model.module.experiment_type.from_config(model.config), data)


def told(model: Model, data: Dataset, split: str = "test", **how: Any) -> tuple[np.ndarray, np.ndarray]:
    """Whether each clip of a split was told right, (n,) bool, and which clips these are. how: of
    `probabilities`."""
    plan = planned(model, data)
    clips = plan.clips[split]
    assert plan.targets is not None
    return probabilities(model, data, clips, **how).argmax(1) == plan.targets[clips].argmax(1), clips


def _verified(model: Model, data: Dataset, bootstrap: int, seed: int) -> dict[str, Any]:
    """By each modality alone and both; nothing where test clips give no trials of both kinds."""
    trials = Trials.of(data, data.of("test"), seed)
    if not trials:
        return {}
    sides = zip(model.module.embeds, model.embed(data, trials.clips), strict=False)
    return trials.evaluate(dict(sides), bootstrap, seed)
