"""Who is it? Five networks by face, voice and both, and whether two clips are of one person."""

from pathlib import Path

import numpy as np

from models import aside, cell
from models.classified import probabilities
from models.tasks import tasks
from pipeline import identification_table as table
from pipeline import seeds
from pipeline.params import applied, read
from pipeline.summary import write_json
from stages import run

FOLDER = Path("tables/identification")


def identification() -> None:
    params = read()
    wanted = params.identification
    own = applied(params, params.people_tables.set | wanted.set, "params.yaml: identification.set")
    data = aside.data(FOLDER / "people", own)
    found: dict = {}
    for row, other in table.ROWS.items():
        right: dict[str, list] = {}
        verified: dict[str, list] = {}
        for seed in wanted.seeds:
            print(f"identification: {row}, seed {seed}", flush=True)
            chosen = other | {"seed": seed}
            model, told = cell.run(own, data, FOLDER / f"{row.replace(' ', '_')}-{seed}", **chosen)
            plan = tasks.get("classification").plan(cell.experiment(own, **chosen), data)
            for split in ("train", "val", "test"):
                clips = plan.clips[split]
                is_told = probabilities(model, data, clips).argmax(1) == plan.targets[clips].argmax(1)
                right.setdefault(split, []).append(is_told)
            for side, result in told.metrics["verification"].items():
                verified.setdefault(side, []).append(result)
        found[row] = {
            split: seeds.accuracy(
                np.stack(r), data.group[plan.clips[split]].tolist(), own.evaluate.bootstrap, own.seed
            )
            for split, r in right.items()
        }
        found[row]["verification"] = {
            side: {key: seeds.mean(results, key) for key in ("eer", "min_dcf")}
            for side, results in verified.items()
        }
    write_json(found, "metrics/identification.json")
    Path("docs/identification.md").write_text(table.markdown(found, own), encoding="utf-8")
    print(
        "identification: "
        + ", ".join(f"{row} {cells['test']['accuracy']:.3f}" for row, cells in found.items())
    )


if __name__ == "__main__":
    run(identification)
