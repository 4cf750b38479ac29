"""Train and evaluate one pair of encoders with one loss."""

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
    """Each audio encoder is trained with each video encoder and each loss."""

    audio_encoder: list[AudioEncoder] = Field(min_length=1)
    video_encoder: list[VideoEncoder] = Field(min_length=1)
    loss: list[Loss] = Field(min_length=1)


class GridStudy(StudyOnProjectData):
    """The content of study.yaml."""

    grid: Grid
    leaders: int = Field(ge=0)  # number of the best pairs, which are trained again with other seeds
    seeds: list[int]  # of these trainings


def grid() -> None:
    """Train and evaluate the pair that the flags name. Writes metrics/<pair>.json and its history as .csv."""
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{SYSTEM}.grid", description=__doc__)
    for flag in ("audio-encoder", "video-encoder", "loss"):
        parser.add_argument(f"--{flag}", required=True)
    components = vars(parser.parse_args())  # audio_encoder, video_encoder, loss
    name = "-".join(components.values())
    stopwatch = Stopwatch(MODELS / name)
    params, _ = load_stage(SYSTEM, "grid", GridStudy)
    data = dataset.load("data", params.audio, params.video, params.input)
    model, evaluation = trial.run(params, data, MODELS / name, **components)
    path = METRICS / f"{name}.json"
    record = {"chosen": model.config["chosen"], "run": stopwatch.record(path)}
    write_json(evaluation.metrics | record, path)
    history = [{"epoch": epoch, **row} for epoch, row in enumerate(model.config["history"], 1)]
    write_table(history, path.with_suffix(".csv"))
    metrics = evaluation.metrics["correspondence"]
    print(f"grid: {name}: accuracy {metrics['accuracy']:.3f}, AUC {metrics['auc']:.3f}")


if __name__ == "__main__":
    run(grid)
