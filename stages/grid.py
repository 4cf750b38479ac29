"""One cell of the grid: a pair of encoders under a loss, trained and evaluated."""

import argparse
import tempfile

from models import checkpoint, evaluation
from models.training import Experiment, train
from pipeline import dataset, engine
from pipeline.params import load
from pipeline.shards import digest
from pipeline.summary import write_json
from stages import run


def grid() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.grid", description=__doc__)
    for name in ("audio-encoder", "video-encoder", "loss"):
        parser.add_argument(f"--{name}", required=True)
    cell = vars(parser.parse_args())  # audio_encoder, video_encoder, loss
    name = "-".join(cell.values())
    params = load("grid")
    data = dataset.load("data", params.audio, params.video)
    fingerprint = digest(engine.made_from("grid", params), data.digest, name)
    with tempfile.TemporaryDirectory() as live:
        out = f"grid/checkpoints/{name}"
        sections = params.train, params.audio, params.augment
        train(Experiment.of(params, **cell), *sections, data, out, live, fingerprint)
    found = evaluation.evaluate(
        checkpoint.load(out), data, params.pairing, params.label, params.evaluate.bootstrap, params.seed
    )
    write_json(found.metrics, f"metrics/grid/{name}.json")
    pairs = found.metrics["correspondence"]
    print(f"grid: {name}: accuracy {pairs['accuracy']:.3f}, AUC {pairs['auc']:.3f}")


if __name__ == "__main__":
    run(grid)
