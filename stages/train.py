"""The stage train: train the model that params.yaml describes."""

from models.evaluation.protocol_checks import check_training
from models.tasks import tasks
from models.tasks._experiment import PRETRAINED
from models.training.cached import adopt_pretrained, describe_best_epoch, train_cached
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset


def train() -> None:
    """Train the model, or copy the one that the stage pretrain has trained, and keep its best epoch.

    The best epoch is the one with the best validation metrics.
    """
    params = load("train")
    task = tasks.get(params.task)
    if task.stage == "pretrain":  # the stage pretrain has trained the model
        best = adopt_pretrained(PRETRAINED, "checkpoints", "metrics/train", label=params.label)
    else:
        sections = params.audio, params.video, params.input
        data = dataset.load("data", *sections, with_features=True, modality=params.modality)
        check_training(params, task.evaluations, data)
        best = train_cached(params, data, "checkpoints", "metrics/train").config["chosen"]
    print(f"train: {describe_best_epoch(best)}")


if __name__ == "__main__":
    run(train)
