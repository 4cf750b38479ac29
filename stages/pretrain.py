"""CAV-MAE without labels; nothing where neither the task nor the encoder asks for it."""

import shutil
from pathlib import Path

from models import once
from models.training import PRETRAINED
from pipeline import dataset
from pipeline.params import load
from stages import run

CURVES = Path("metrics/pretrain")


def pretrain() -> None:
    params = load("pretrain")
    task, encoder, start = params.task, params.encoder, params.classification.start
    if task != "pretraining" and not (task == "classification" and encoder and start == "pretrain"):
        shutil.rmtree(PRETRAINED, ignore_errors=True)
        shutil.rmtree(CURVES, ignore_errors=True)
        Path(PRETRAINED).mkdir()
        (CURVES / "plots").mkdir(parents=True)
        (CURVES / "metrics.json").write_text("{}\n", encoding="utf-8")
        print("pretrain: nothing to do (task: pretraining, or encoder: cav_mae, asks for it)")
        return
    data = dataset.load("data", params.audio, params.video, params.input)
    chosen = once.pretrained(params, data, PRETRAINED, CURVES).config["chosen"]
    values = ", ".join(f"{k.replace('/', ' ')} {v:.3f}" for k, v in chosen.items() if "/" in k)
    print(f"pretrain: epoch {chosen['best_epoch']} of {chosen['epochs']} is kept: {values}")


if __name__ == "__main__":
    run(pretrain)
