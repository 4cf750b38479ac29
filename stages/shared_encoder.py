"""One network for sounds and faces: what it learns from each, and what it carries from one to the other."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments import study_data
from models.evaluation import classifier, trial
from pipeline import shared_encoder_table as table
from pipeline.cli import run
from pipeline.config import Params, apply_settings, read
from pipeline.dataset.dataset import Dataset
from pipeline.metrics import over_seeds
from pipeline.store.metric_files import write_json

FOLDER = Path("tables/shared_encoder")


def shared_encoder() -> None:
    params = read()
    wanted = params.shared_encoder
    found: dict = {}
    for by in table.SPLITS:
        settings = params.people_tables.set | wanted.set | {"split.by": by}
        own = apply_settings(params, settings, "params.yaml: shared_encoder.set")
        data = study_data.data(FOLDER / "people", own)
        for network in wanted.networks:
            rows: dict[str, dict] = {}
            if wanted.pretrained:
                frozen = begun(own, network, wanted.pretrained, frozen=True)
                for column, modality in table.ROWS.items():
                    name = f"{by}-{network}-{modality}-frozen"
                    cells = row(frozen, data, name, network, modality, wanted.seeds)
                    rows.setdefault(table.NOTHING, {})[column] = cells[column]
                own = begun(own, network, wanted.pretrained, frozen=False)
            for name, modality in table.ROWS.items():
                rows[name] = row(own, data, f"{by}-{network}-{modality}", network, modality, wanted.seeds)
            found.setdefault(network, {})[by] = rows
    write_json(found, "metrics/shared_encoder.json")
    Path("docs").mkdir(exist_ok=True)
    Path("docs/shared_encoder.md").write_text(table.markdown(found, own), encoding="utf-8")
    first = found[wanted.networks[0]]["video"]
    told = ", ".join(f"{name} {first[name][name]['accuracy']:.3f}" for name in table.ROWS)
    print(f"shared_encoder: {told}")


def begun(params: Params, network: str, weights: str, frozen: bool) -> Params:
    """`params` with this network's weights from a file."""
    own = params.encoders.video.get(network, {}) | {"pretrained": weights, "frozen": frozen}
    return params.override({"encoders.video": params.encoders.video | {network: own}})


def row(params: Params, data: Dataset, name: str, network: str, modality: str, several: list[int]) -> dict:
    """Train a network on one modality, or both, with several seeds; test it on all that it can be asked."""
    right: dict[str, list[np.ndarray]] = {}
    for seed in several:
        print(f"shared_encoder: {name}, seed {seed}", flush=True)
        other: dict[str, Any] = {"modality": modality, "video_encoder": network, "seed": seed}
        model, _ = trial.run(params, data, FOLDER / f"{name.replace('/', '_')}-{seed}", **other)
        for column, how in table.TESTED[modality].items():
            told, test = classifier.told(model, data, **how)
            right.setdefault(column, []).append(told)
    groups, resampled = data.group[test].tolist(), (params.evaluate.bootstrap, params.seed)
    return {column: over_seeds.accuracy(np.stack(r), groups, *resampled) for column, r in right.items()}


if __name__ == "__main__":
    run(shared_encoder)
