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
    networks: list[VideoEncoder] = Field(min_length=1)
    pretrained: str | None = Field(min_length=1)  # a file of weights of the networks


def shared_encoder() -> None:
    stopwatch = Stopwatch(MODELS)
    params, study = read_study(SYSTEM, SharedEncoderStudy)
    results: dict[str, Any] = {}
    for by in table.SPLITS:
        split_params = apply_settings(params, {"split.by": by}, f"{FOLDER / SYSTEM}/study.yaml")
        data = study_data.load(DATA, split_params)
        for network in study.networks:
            rows = evaluate(network, by, split_params, data, study)
            results.setdefault(network, {})[by] = rows
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
    rows = results[study.networks[0]]["video"]
    accuracies = ", ".join(f"{name} {rows[name][name]['accuracy']:.3f}" for name in table.ROWS)
    print(f"shared_encoder: {accuracies}")


def evaluate(
    network: str, by: str, params: Params, data: Dataset, study: SharedEncoderStudy
) -> dict[str, dict]:
    """Return row -> column -> accuracy over seeds, of a network and a split."""
    rows: dict[str, dict] = {}
    if study.pretrained:
        frozen = with_weights(params, network, study.pretrained, frozen=True)
        for column, modality in table.ROWS.items():
            name = f"{by}-{network}-{modality}-frozen"
            cells = evaluate_row(frozen, data, name, network, modality, study.seeds)
            rows.setdefault(table.NOTHING, {})[column] = cells[column]
        params = with_weights(params, network, study.pretrained, frozen=False)
    for row, modality in table.ROWS.items():
        rows[row] = evaluate_row(params, data, f"{by}-{network}-{modality}", network, modality, study.seeds)
    return rows


def with_weights(params: Params, network: str, weights: str, frozen: bool) -> Params:
    """Return `params` with a network that starts from the weights in a file."""
    keywords = params.encoders.video.get(network, {}) | {"pretrained": weights, "frozen": frozen}
    return params.override({"encoders.video": params.encoders.video | {network: keywords}})


def evaluate_row(
    params: Params, data: Dataset, name: str, network: str, modality: str, study_seeds: list[int]
) -> dict[str, Any]:
    """Train a network on one modality, or on both, with several seeds, and run all tests of that row."""
    correct: dict[str, list[np.ndarray]] = {}
    for seed in study_seeds:
        print(f"shared_encoder: {name}, seed {seed}", flush=True)
        other: dict[str, Any] = {"modality": modality, "video_encoder": network, "seed": seed}
        model, _ = trial.run(params, data, MODELS / f"{name.replace('/', '_')}-{seed}", **other)
        for column, arguments in table.TESTS[modality].items():
            is_correct, clips = classifier.correct_predictions(model, data, **arguments)
            correct.setdefault(column, []).append(is_correct)
    groups, bootstrap = data.group[clips].tolist(), (params.evaluate.bootstrap, params.seed)
    return {column: over_seeds.accuracy(np.stack(x), groups, *bootstrap) for column, x in correct.items()}


if __name__ == "__main__":
    run(shared_encoder)
