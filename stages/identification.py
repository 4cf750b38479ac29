"""Who is it? Five networks by face, voice and both, and whether two clips are of one person."""

from pathlib import Path

import numpy as np

from experiments import study_data
from models.evaluation import classifier, trial
from pipeline import identification_table as table
from pipeline.cli import run
from pipeline.config import apply_settings, read
from pipeline.metrics import over_seeds
from pipeline.store.metric_files import write_json

FOLDER = Path("tables/identification")


def identification() -> None:
    params = read()
    wanted = params.identification
    own = apply_settings(params, params.people_tables.set | wanted.set, "params.yaml: identification.set")
    data = study_data.data(FOLDER / "people", own)
    found: dict = {}
    for row, other in table.ROWS.items():
        clips: dict[str, np.ndarray] = {}
        right: dict[str, list] = {}
        verified: dict[str, list] = {}
        for seed in wanted.seeds:
            print(f"identification: {row}, seed {seed}", flush=True)
            chosen = other | {"seed": seed}
            model, told = trial.run(own, data, FOLDER / f"{row.replace(' ', '_')}-{seed}", **chosen)
            for split in ("train", "val", "test"):
                is_told, clips[split] = classifier.told(model, data, split)
                right.setdefault(split, []).append(is_told)
            for side, result in told.metrics["verification"].items():
                verified.setdefault(side, []).append(result)
        found[row] = {
            split: over_seeds.accuracy(
                np.stack(r), data.group[clips[split]].tolist(), own.evaluate.bootstrap, own.seed
            )
            for split, r in right.items()
        }
        found[row]["verification"] = {
            side: {key: over_seeds.mean(results, key) for key in ("eer", "min_dcf")}
            for side, results in verified.items()
        }
    write_json(found, "metrics/identification.json")
    Path("docs").mkdir(exist_ok=True)
    Path("docs/identification.md").write_text(table.markdown(found, own), encoding="utf-8")
    print(
        "identification: "
        + ", ".join(f"{row} {cells['test']['accuracy']:.3f}" for row, cells in found.items())
    )


if __name__ == "__main__":
    run(identification)
