"""One cell of the grid: a pair of encoders under a loss, trained and evaluated."""

import argparse

from models.evaluation import trial
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.store.metric_files import write_json, write_table


def grid() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.grid", description=__doc__)
    for name in ("audio-encoder", "video-encoder", "loss"):
        parser.add_argument(f"--{name}", required=True)
    names = vars(parser.parse_args())  # audio_encoder, video_encoder, loss
    name = "-".join(names.values())
    params = load("grid", table="grid")
    data = dataset.load("data", params.audio, params.video, params.input)
    model, found = trial.run(params, data, f"grid/checkpoints/{name}", **names)
    write_json(found.metrics | {"chosen": model.config["chosen"]}, f"metrics/grid/{name}.json")
    history = [{"epoch": i, **row} for i, row in enumerate(model.config["history"], 1)]
    write_table(history, f"metrics/grid/{name}.csv")
    pairs = found.metrics["correspondence"]
    print(f"grid: {name}: accuracy {pairs['accuracy']:.3f}, AUC {pairs['auc']:.3f}")


if __name__ == "__main__":
    run(grid)
