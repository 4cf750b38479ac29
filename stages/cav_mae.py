"""CAV-MAE: what is learnt without labels, and what it gives where labels are few."""

from pathlib import Path
from typing import Any

from experiments import study_data
from models.checkpoint import Model
from models.evaluation import classifier, inpainting
from models.training.cached import pretrain_cached, train_cached
from models.training.experiment import configure, inputs
from pipeline import cav_mae_table as table
from pipeline import retrieval_table
from pipeline.cli import run
from pipeline.config import Params, apply_settings, read
from pipeline.dataset.dataset import Dataset
from pipeline.report import plots
from pipeline.store.metric_files import write_json

FOLDER = Path("tables/cav_mae")


def cav_mae() -> None:
    params = read()
    wanted = params.cav_mae
    own = apply_settings(params, wanted.set, "params.yaml: cav_mae.set")
    data = study_data.data(FOLDER / "data", own)
    test, resampled = data.of("test"), (own.evaluate.bootstrap, own.seed)
    groups = data.group[test].tolist()
    before: dict[str, list[Model]] = {}
    right: dict[str, dict[str, list]] = {row: {} for row in table.ROWS}
    for seed in wanted.seeds:
        for row, losses in table.ROWS.items():
            name, start = f"{row.replace(', ', '_').replace(' ', '_')}-{seed}", "scratch"
            if losses is not None:
                print(f"cav_mae: {row}, seed {seed}: pretraining", flush=True)
                start = str(FOLDER / f"pretrained-{name}")
                model = pretrain_cached(own, data, start, seed=seed, pretraining=losses)
                before.setdefault(row, []).append(model)
            print(f"cav_mae: {row}, seed {seed}: classification", flush=True)
            how = {"start": start, "labels": wanted.labels}
            told = asked(own, data, FOLDER / f"tuned-{name}", table.ASKED, seed, how)
            if losses is not None:
                probed = apply_settings(own, wanted.probe, "params.yaml: cav_mae.probe")
                out = FOLDER / f"linear-{name}"
                told |= asked(probed, data, out, {"linear": {}}, seed, how | {"frozen": True})
            for column, answers in told.items():
                right[row].setdefault(column, []).append(answers)
    models = {
        row: [dict(zip(("audio", "video"), m.embed(data, test), strict=True)) for m in several]
        for row, several in before.items()
    }
    named = data.labels
    labels = [named[i] for i in test]
    filled = {
        row: [inpainting.errors(m, data, test, *resampled) for m in several]
        for row, several in before.items()
        if several[0].module.rebuilds
    }
    found = {
        "classification": table.classified(right, *resampled),
        "retrieval": retrieval_table.table(models, labels, groups, *resampled),
        "reconstruction": table.filled(filled),
    }
    # Patches that are normalised by themselves cannot be shown without lending them what they lack.
    plain = {"normalize_patches": False}
    shown = pretrain_cached(own, data, FOLDER / "shown", seed=wanted.seeds[0], pretraining=plain)
    plots.save_inpainting("docs/pictures/inpainting.jpg", inpainting.pictures(shown, data, test, own.seed))
    write_json(found, "metrics/cav_mae.json")
    Path("docs").mkdir(exist_ok=True)
    Path("docs/pretraining.md").write_text(
        table.markdown(found, own, len(data.of("train"))), encoding="utf-8"
    )
    told = (f"{row} {c['fine_tuned']['accuracy']:.3f}" for row, c in found["classification"].items())
    print(f"cav_mae: {', '.join(told)}")


def asked(params: Params, data: Dataset, out: Path, ways: dict, seed: int, how: dict[str, Any]) -> dict:
    """Train a classifier, and ask it in several ways: way -> whether each test clip was told right; and the
    groups of these clips."""
    tried = configure(params, seed=seed, classification=how)
    model = train_cached(
        tried, data, out, settings=params.train, augmentation=params.augment, inputs=inputs(params)
    )
    found = {way: classifier.told(model, data, **asked) for way, asked in ways.items()}
    clips = next(iter(found.values()))[1]
    return {way: right for way, (right, _) in found.items()} | {"groups": data.group[clips]}


if __name__ == "__main__":
    run(cav_mae)
