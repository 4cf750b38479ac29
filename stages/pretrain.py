"""Pretrain CAV-MAE without labels, if the task needs it."""

from pathlib import Path

from models.tasks import tasks
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.store import epochs
from pipeline.store.metric_files import write_json

MODEL, CURVES = Path("pretrained"), Path("metrics/pretrain")
NOTE = MODEL / "README.md"  # DVC keeps no empty folders


def pretrain() -> None:
    params = load("pretrain")
    task, encoder, start = params.task, params.encoder, params.classification.start
    if not encoder or not tasks.get(task).pretrains(params):  # loading the task imports torch
        if not (MODEL / "config.json").exists():  # a model that exists stays
            MODEL.mkdir(exist_ok=True)
            NOTE.unlink(missing_ok=True)  # it may be a link into DVC's cache
            NOTE.write_text("Nothing was pretrained.\n", encoding="utf-8")
            epochs.write_history(CURVES, [], "pretrain")
            write_json({}, CURVES / "metrics.json")
        print(f"pretrain: nothing to do (task: {task}, encoder: {encoder}, classification.start: {start})")
        return
    from models.training.cached import pretrain_cached  # imports torch, which takes seconds

    NOTE.unlink(missing_ok=True)
    data = dataset.load("data", params.audio, params.video, params.input)
    best = pretrain_cached(params, data, MODEL, CURVES).config["chosen"]
    values = ", ".join(f"{k.replace('/', ' ')} {v:.3f}" for k, v in best.items() if "/" in k)
    print(f"pretrain: epoch {best['best_epoch']} of {best['epochs']} is kept: {values}")


if __name__ == "__main__":
    run(pretrain)
