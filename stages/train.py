"""What params.yaml says is trained; the epoch that validation likes best is kept."""

from models.tasks import tasks
from models.tasks._experiment import PRETRAINED
from models.training.cached import adopt_pretrained, train_cached
from models.training.experiment import configure, inputs
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset


def train() -> None:
    params = load("train")
    if tasks.get(params.task).stage == "pretrain":  # which has trained it
        chosen = adopt_pretrained(PRETRAINED, "checkpoints", "metrics/train", label=params.label)
    else:
        data = dataset.load("data", params.audio, params.video, params.input)
        model = train_cached(
            configure(params),
            data,
            "checkpoints",
            settings=params.train,
            augmentation=params.augment,
            inputs=inputs(params),
            curves="metrics/train",
        )
        chosen = model.config["chosen"]
    values = ", ".join(
        f"{name.replace('/', ' ')} {value:.3f}" for name, value in chosen.items() if "/" in name
    )
    print(f"train: epoch {chosen['best_epoch']} of {chosen['epochs']} is kept: {values}")


if __name__ == "__main__":
    run(train)
