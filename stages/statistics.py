"""The stage statistics: compute mean and standard deviation of the features of the training split."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.dataset.statistics import compute_statistics
from pipeline.store.metric_files import write_json


def statistics() -> None:
    """Write the statistics with which an encoder of both modalities normalizes its input.

    Without such an encoder, write an empty JSON object.
    """
    params = load("statistics")
    if not params.encoder:
        write_json({}, f"data/{dataset.STATISTICS}")
        print(f"statistics: nothing to do (task: {params.task} without an encoder of both modalities)")
        return
    data = dataset.load("data", params.audio, params.video, params.input, modality=params.modality)
    result = compute_statistics(data)
    write_json(result, f"data/{dataset.STATISTICS}")
    print(f"statistics: mean {result['mean']:.3f}, deviation {result['std']:.3f} of {result['clips']} clips")


if __name__ == "__main__":
    run(statistics)
