"""The stage pretrain: train CAV-MAE without labels, if the task starts from such a model."""

from pathlib import Path

from models.tasks import tasks
from models.tasks._experiment import PRETRAINED
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.store import epochs
from pipeline.store.metric_files import write_json

MODEL_FOLDER = Path(PRETRAINED)
CURVES_FOLDER = Path("metrics/pretrain")
# Written if nothing is pretrained: DVC does not keep empty folders.
PLACEHOLDER = MODEL_FOLDER / "README.md"


def pretrain() -> None:
    """Pretrain a model if the task needs one. Otherwise keep the model of an earlier run, or write none."""
    params = load("pretrain")
    task, encoder = params.task, params.encoder
    if not encoder or not tasks.get(task).pretrains(params):  # loading the task imports torch
        if not (MODEL_FOLDER / "config.json").exists():  # there is no model of an earlier run to keep
            MODEL_FOLDER.mkdir(exist_ok=True)
            PLACEHOLDER.unlink(missing_ok=True)  # it may be a link into DVC's cache
            PLACEHOLDER.write_text("Nothing was pretrained.\n", encoding="utf-8")
            epochs.write_history(CURVES_FOLDER, [], "pretrain")
            write_json({}, CURVES_FOLDER / "metrics.json")
        starts = f"classification.start: {params.classification.start}, train.start: {params.train.start}"
        print(f"pretrain: nothing to do (task: {task}, encoder: {encoder}, {starts})")
        return
    # This imports torch, which takes seconds.
    from models.evaluation.protocol_checks import check_training
    from models.training.cached import describe_best_epoch, pretrain_cached

    PLACEHOLDER.unlink(missing_ok=True)
    data = dataset.load("data", params.audio, params.video, params.input)
    check_training(params, tasks.get(task).evaluations, data)
    best = pretrain_cached(params, data, MODEL_FOLDER, CURVES_FOLDER).config["chosen"]
    print(f"pretrain: {describe_best_epoch(best)}")


if __name__ == "__main__":
    run(pretrain)
