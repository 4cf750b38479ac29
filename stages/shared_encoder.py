"""One network for sounds and faces: what it learns from each, and what it carries from one to the other."""

from pathlib import Path

import numpy as np

from models import aside, cell
from models.classified import probabilities
from models.tasks import tasks
from pipeline import seeds
from pipeline import shared_encoder_table as table
from pipeline.params import read
from pipeline.summary import write_json
from stages import run

FOLDER = Path("tables/shared_encoder")


def shared_encoder() -> None:
    params = read()
    wanted = params.shared_encoder
    found: dict = {}
    for by in table.SPLITS:
        own = params.changed(params.people_tables.set | wanted.set | {"split.by": by})
        data = aside.data(FOLDER / "people", own)
        for network in wanted.networks:
            for row, modality in table.ROWS.items():
                right: dict[str, list[np.ndarray]] = {}
                for seed in wanted.seeds:
                    name = f"{by}-{network.replace('/', '_')}-{modality}-{seed}"
                    print(f"shared_encoder: {network}, {row}, split by {by}, seed {seed}", flush=True)
                    other = {"modality": modality, "video_encoder": network, "seed": seed}
                    model, _ = cell.run(own, data, FOLDER / name, **other)
                    plan = tasks.get("classification").plan(cell.experiment(own, **other), data)
                    test = plan.clips["test"]
                    for column, how in table.TESTED[modality].items():
                        told = probabilities(model, data, test, **how).argmax(1)
                        right.setdefault(column, []).append(told == plan.targets[test].argmax(1))
                groups = data.group[test].tolist()
                found.setdefault(network, {}).setdefault(by, {})[row] = {
                    column: seeds.accuracy(np.stack(r), groups, own.evaluate.bootstrap, own.seed)
                    for column, r in right.items()
                }
    write_json(found, "metrics/shared_encoder.json")
    Path("docs/shared_encoder.md").write_text(table.markdown(found, own), encoding="utf-8")
    first = found[wanted.networks[0]]["video"]
    told = ", ".join(f"{row} {next(iter(cells.values()))['accuracy']:.3f}" for row, cells in first.items())
    print(f"shared_encoder: {told}")


if __name__ == "__main__":
    run(shared_encoder)
