"""Train and evaluate one pair of encoders under one loss."""

import argparse

from pydantic import Field

from experiments.study import FOLDER, Stopwatch, StudyOnProjectData, load_stage
from models.evaluation import trial
from pipeline.cli import run
from pipeline.config.fields import AudioEncoder, Loss, Section, VideoEncoder
from pipeline.dataset import dataset
from pipeline.store.metric_files import write_json, write_table

SYSTEM = "videosound_matching"
MODELS = FOLDER / SYSTEM / "models/grid"
METRICS = FOLDER / SYSTEM / "metrics"


class Grid(Section):
    """Each of these encoders is trained with each under each loss."""

    audio_encoder: list[AudioEncoder] = Field(min_length=1)
    video_encoder: list[VideoEncoder] = Field(min_length=1)
    loss: list[Loss] = Field(min_length=1)


class GridStudy(StudyOnProjectData):
    """Each pair of the grid, and the best `leaders` of them once more with each of `seeds`."""

    grid: Grid
    leaders: int = Field(ge=0)
    seeds: list[int]


def grid() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{SYSTEM}.grid", description=__doc__)
    for name in ("audio-encoder", "video-encoder", "loss"):
        parser.add_argument(f"--{name}", required=True)
    names = vars(parser.parse_args())  # audio_encoder, video_encoder, loss
    name = "-".join(names.values())
    stopwatch = Stopwatch(MODELS / name)
    params, _ = load_stage(SYSTEM, "grid", GridStudy)
    data = dataset.load("data", params.audio, params.video, params.input)
    model, evaluation = trial.run(params, data, MODELS / name, **names)
    path = METRICS / f"{name}.json"
    record = {"chosen": model.config["chosen"], "run": stopwatch.record(path)}
    write_json(evaluation.metrics | record, path)
    history = [{"epoch": i, **row} for i, row in enumerate(model.config["history"], 1)]
    write_table(history, path.with_suffix(".csv"))
    pairs = evaluation.metrics["correspondence"]
    print(f"grid: {name}: accuracy {pairs['accuracy']:.3f}, AUC {pairs['auc']:.3f}")


if __name__ == "__main__":
    run(grid)
