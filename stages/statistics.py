"""What features of the training split are on average, and how far they spread."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.dataset.statistics import statistics as measure
from pipeline.store.metric_files import write_json


def statistics() -> None:
    params = load("statistics")
    if not params.encoder:
        write_json({}, f"data/{dataset.STATISTICS}")
        print(f"statistics: nothing to do (task: {params.task} without an encoder of both modalities)")
        return
    data = dataset.load("data", params.audio, params.video, params.input)
    found = measure(data)
    write_json(found, f"data/{dataset.STATISTICS}")
    print(f"statistics: mean {found['mean']:.3f}, deviation {found['std']:.3f} of {found['clips']} clips")


if __name__ == "__main__":
    run(statistics)
