"""CAV-MAE without labels; nothing where neither the task nor the encoder asks for it."""

from pathlib import Path

from pipeline import dataset
from pipeline.params import load
from stages import run

MODEL, CURVES = Path("pretrained"), Path("metrics/pretrain")
NOTES = (MODEL / "README.md", CURVES / "plots/README.md")  # neither git nor DVC keeps empty folders


def pretrain() -> None:
    params = load("pretrain")
    task, encoder, start = params.task, params.encoder, params.classification.start
    if task != "pretraining" and not (task == "classification" and encoder and start == "pretrain"):
        if not (MODEL / "config.json").exists():  # what is there is kept
            for note in NOTES:
                note.parent.mkdir(parents=True, exist_ok=True)
                note.unlink(missing_ok=True)  # it may be a link into DVC's cache
                note.write_text("Nothing was pretrained.\n", encoding="utf-8")
            (CURVES / "metrics.json").write_text("{}\n", encoding="utf-8")
        print("pretrain: nothing to do (task: pretraining, or encoder: cav_mae, asks for it)")
        return
    from models import once  # and torch: not where there is nothing to do

    for note in NOTES:
        note.unlink(missing_ok=True)
    data = dataset.load("data", params.audio, params.video, params.input)
    chosen = once.pretrained(params, data, MODEL, CURVES).config["chosen"]
    values = ", ".join(f"{k.replace('/', ' ')} {v:.3f}" for k, v in chosen.items() if "/" in k)
    print(f"pretrain: epoch {chosen['best_epoch']} of {chosen['epochs']} is kept: {values}")


if __name__ == "__main__":
    run(pretrain)
