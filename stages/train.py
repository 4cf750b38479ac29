"""What params.yaml says is trained; the epoch that validation likes best is kept."""

from models.training import PRETRAINED, Experiment, hand_on, inputs
from models.training import train as fit
from pipeline import dataset, engine
from pipeline.params import load
from pipeline.shards import digest
from stages import run


def train() -> None:
    params = load("train")
    if params.task == "pretraining":  # the stage pretrain has done it
        chosen = hand_on(PRETRAINED, "checkpoints", "metrics/train", label=params.label)
    else:
        data = dataset.load("data", params.audio, params.video, params.input)
        tried = Experiment.of(params)
        fingerprint = digest(engine.made_from("train", params), data.digest, tried.begun(data))
        sections = params.train, params.augment, inputs(params)
        chosen = fit(tried, *sections, data, "checkpoints", "metrics/train", fingerprint)
    values = ", ".join(
        f"{name.replace('/', ' ')} {value:.3f}" for name, value in chosen.items() if "/" in name
    )
    print(f"train: epoch {chosen['best_epoch']} of {chosen['epochs']} is kept: {values}")


if __name__ == "__main__":
    run(train)
