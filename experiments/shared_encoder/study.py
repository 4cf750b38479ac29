"""Train one network on spectrograms, on faces and on both, and test each on the other modality too."""

from typing import Any

import numpy as np
from pydantic import Field

from experiments import study_data
from experiments.shared_encoder import table
from experiments.study import FOLDER, Stopwatch, Study, read_study, write_results
from models.evaluation import classifier, trial
from pipeline.cli import run
from pipeline.config import Params, apply_settings
from pipeline.config.fields import VideoEncoder
from pipeline.dataset.dataset import Dataset
from pipeline.metrics import over_seeds

SYSTEM = "shared_encoder"
MODELS = FOLDER / SYSTEM / "models"
DATA = FOLDER / SYSTEM / "data"


class SharedEncoderStudy(Study):
    """The content of study.yaml."""

    networks: list[VideoEncoder] = Field(min_length=1)
    pretrained: str | None = Field(min_length=1)  # a file of weights of the networks


def shared_encoder() -> None:
    """Run the study: train all networks, and write metrics.json and the tables."""
    stopwatch = Stopwatch(MODELS)
    params, study = read_study(SYSTEM, SharedEncoderStudy)
    results: dict[str, Any] = {}
    for split_by in table.SPLITS:
        split_params = apply_settings(params, {"split.by": split_by}, f"{FOLDER / SYSTEM}/study.yaml")
        data = study_data.load(DATA, split_params)
        for network in study.networks:
            network_results = evaluate(network, split_by, split_params, data, study)
            results.setdefault(network, {})[split_by] = network_results
    metrics = {
        "run": stopwatch.record(FOLDER / SYSTEM / "metrics.json"),
        "about": {
            "clips": params.data.people.clips,
            "people": params.data.people.people,
            "height": params.video.height,
            "width": params.video.width,
            "epochs": params.train.epochs,
            "seeds": len(study.seeds),
            "pretrained": study.pretrained is not None,
        },
        "results": results,
    }
    write_results(FOLDER / SYSTEM, metrics, table.markdown(metrics))
    first_results = results[study.networks[0]]["video"]
    accuracies = ", ".join(
        f"{inputs} {first_results[inputs][inputs]['accuracy']:.3f}" for inputs in table.INPUTS
    )
    print(f"shared_encoder: {accuracies}")


def evaluate(
    network: str, split_by: str, params: Params, data: Dataset, study: SharedEncoderStudy
) -> dict[str, dict]:
    """Train and test a network on all inputs, with one way of splitting the data.

    Returns inputs of training -> inputs of the test -> accuracy over seeds.
    """
    results: dict[str, dict] = {}
    if study.pretrained:
        # With a frozen network, only the head is trained: this shows what the pretrained weights are worth.
        frozen_params = set_weights(params, network, study.pretrained, frozen=True)
        for inputs, modality in table.INPUTS.items():
            name = f"{split_by}-{network}-{modality}-frozen"
            tests = train_and_test(frozen_params, data, name, network, modality, study.seeds)
            results.setdefault(table.NO_TUNING, {})[inputs] = tests[inputs]
        params = set_weights(params, network, study.pretrained, frozen=False)
    for inputs, modality in table.INPUTS.items():
        name = f"{split_by}-{network}-{modality}"
        results[inputs] = train_and_test(params, data, name, network, modality, study.seeds)
    return results


def set_weights(params: Params, network: str, weights: str, frozen: bool) -> Params:
    """Return `params` with a network that starts from the weights in a file. frozen: it is not trained."""
    library, slash, _ = network.partition("/")
    training = {"trainable": "none" if frozen else "all"} if slash else {"frozen": frozen}
    keywords = params.encoders.video.get(library, {}) | {"pretrained": weights} | training
    return params.override({"encoders.video": params.encoders.video | {library: keywords}})


def train_and_test(
    params: Params, data: Dataset, name: str, network: str, modality: str, study_seeds: list[int]
) -> dict[str, Any]:
    """Train a network on "audio", "video" or "both" with several seeds, and run all tests in table.TESTS.

    name: of the models' folders, without the seed. Returns inputs of the test -> accuracy over seeds.
    """
    correct: dict[str, list[np.ndarray]] = {}  # inputs of the test -> is_correct of each seed
    for seed in study_seeds:
        print(f"shared_encoder: {name}, seed {seed}", flush=True)
        changes: dict[str, Any] = {"modality": modality, "video_encoder": network, "seed": seed}
        model, _ = trial.run(params, data, MODELS / f"{name.replace('/', '_')}-{seed}", **changes)
        for test_inputs, arguments in table.TESTS[modality].items():
            is_correct, clips = classifier.correct_predictions(model, data, **arguments)
            correct.setdefault(test_inputs, []).append(is_correct)
    groups, bootstrap = data.group[clips].tolist(), (params.evaluate.bootstrap, params.seed)
    return {
        test_inputs: over_seeds.accuracy(np.stack(seeds), groups, *bootstrap)
        for test_inputs, seeds in correct.items()
    }


if __name__ == "__main__":
    run(shared_encoder)
