"""Two encoders, trained against each other under a loss; the epoch that validation likes best is kept."""

from models.training import Experiment, inputs
from models.training import train as fit
from pipeline import dataset, engine
from pipeline.params import load
from pipeline.shards import digest
from stages import run


def train() -> None:
    params = load("train")
    data = dataset.load("data", params.audio, params.video, params.input)
    fingerprint = digest(engine.made_from("train", params), data.digest)
    sections = params.train, params.augment, inputs(params)
    chosen = fit(Experiment.of(params), *sections, data, "checkpoints", "metrics/train", fingerprint)
    values = ", ".join(
        f"{name.replace('/', ' ')} {value:.3f}" for name, value in chosen.items() if "/" in name
    )
    print(f"train: epoch {chosen['best_epoch']} of {chosen['epochs']} is kept: {values}")


if __name__ == "__main__":
    run(train)
