"""CAV-MAE: what is learnt without labels, and what it gives where labels are few."""

from pathlib import Path
from typing import Any

import numpy as np

from models import aside, cell, inpainting, once
from models.classified import probabilities
from models.tasks import tasks
from pipeline import cav_mae_table as table
from pipeline import plots, retrieval_table, seeds
from pipeline.params import read
from pipeline.summary import write_json
from stages import run

FOLDER = Path("tables/cav_mae")
ASKED: dict[str, dict[str, Any]] = {  # how a fine-tuned model is asked
    "fine_tuned": {},
    "without_video": {"blank": "video"},
    "without_audio": {"blank": "audio"},
}


def cav_mae() -> None:
    params = read()
    wanted = params.cav_mae
    own = params.changed(wanted.set)
    data = aside.data(FOLDER / "data", own)
    test, resampled = data.of("test"), (own.evaluate.bootstrap, own.seed)
    right: dict[str, dict[str, list]] = {row: {} for row in table.ROWS}
    near: dict[str, list] = {}
    errors: dict[str, dict[str, list]] = {}
    for seed in wanted.seeds:
        for row, losses in table.ROWS.items():
            print(f"cav_mae: {row}, seed {seed}", flush=True)
            name, start = f"{row.replace(' ', '_')}-{seed}", "scratch"
            if losses is not None:
                start = str(FOLDER / f"pretrained-{name}")
                model = once.pretrained(own, data, start, seed=seed, pretraining=losses)
                near.setdefault(row, []).append(
                    dict(zip(("audio", "video"), model.embed(data, test), strict=True))
                )
                if model.module.rebuilds:
                    told = inpainting.evaluate(model, data, test, *resampled)
                    for side in ("audio", "video"):
                        errors.setdefault(row, {}).setdefault(side, []).append(told[f"{side}_mse"])
                        errors.setdefault("chance", {})[side] = [told["chance"][f"{side}_mse"]]
            for frozen in (False, True) if losses is not None else (False,):
                how = {"start": start, "frozen": frozen, "labels": wanted.labels}
                sections = own.changed(wanted.probe) if frozen else own
                out = FOLDER / f"{'linear' if frozen else 'fine_tuned'}-{name}"
                model, _ = cell.run(sections, data, out, seed=seed, classification=how)
                plan = tasks.get("classification").plan(
                    cell.experiment(own, seed=seed, classification=how), data
                )
                clips = plan.clips["test"]
                for column, asked in ASKED.items() if not frozen else [("linear", {})]:
                    is_told = probabilities(model, data, clips, **asked).argmax(1) == plan.targets[
                        clips
                    ].argmax(1)
                    right[row].setdefault(column, []).append(is_told)
    groups = data.group[clips].tolist()
    classified = {
        row: {column: seeds.accuracy(np.stack(r), groups, *resampled) for column, r in cells.items()}
        for row, cells in right.items()
    }
    for row in list(table.ROWS)[1:]:
        gain = np.stack(right[row]["fine_tuned"]) * 1.0 - np.stack(right[table.SCRATCH]["fine_tuned"])
        classified[row]["gain"] = seeds.accuracy(gain, groups, *resampled)
    named = [data.labels[i] for i in test]
    found = {
        "classification": classified,
        "retrieval": retrieval_table.table(near, named, data.group[test].tolist(), *resampled),
        "reconstruction": errors,
    }
    shown = once.pretrained(
        own, data, FOLDER / "shown", seed=wanted.seeds[0], pretraining={"normalize_patches": False}
    )
    plots.save_inpainting("docs/pictures/inpainting.jpg", inpainting.pictures(shown, data, test, own.seed))
    write_json(found, "metrics/cav_mae.json")
    about = {"train": len(data.of("train")), "labelled": len(plan.clips["train"]), "test": len(clips)}
    Path("docs/pretraining.md").write_text(table.markdown(found, own, about), encoding="utf-8")
    told = ", ".join(f"{row} {cells['fine_tuned']['accuracy']:.3f}" for row, cells in classified.items())
    print(f"cav_mae: {told}")


if __name__ == "__main__":
    run(cav_mae)
