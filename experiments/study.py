"""What all studies have in common: their settings, and what they write.

A study trains and evaluates several models. Its settings are in `study.yaml`, typed by a subclass of `Study`
beside its code; all other parameters are those of the project's params.yaml.
"""

import datetime
import json
import time
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from experiments import readme
from pipeline.config import Params, View, apply_settings, read, read_section, stage_entry
from pipeline.config.fields import Section
from pipeline.store.metric_files import write_json

FOLDER = Path("experiments")  # stages of studies run in the project's root
# What the models of a study on the project's own data may change: nothing that data are made from.
TRAINING_SETTINGS = (
    "augment",
    "audio_encoder",
    "classification",
    "encoder",
    "encoders",
    "evaluate",
    "label",
    "loss",
    "losses",
    "matcher",
    "modality",
    "pairing",
    "pretraining",
    "task",
    "train",
    "video.training_frame",
    "video.window_frames",
    "video_encoder",
)


def _check_training_settings(settings: dict[str, Any]) -> dict[str, Any]:
    for key in settings:
        if not any(key == name or key.startswith(f"{name}.") for name in TRAINING_SETTINGS):
            allowed = ", ".join(TRAINING_SETTINGS)
            raise ValueError(f"{key}: cannot be set here; what can: {allowed} and what is under them")
    return settings


Settings = dict[str, Any]  # values for keys of params.yaml, as `dvc exp run -S` has them
TrainingSettings = Annotated[Settings, AfterValidator(_check_training_settings)]


class Study(Section):
    """A study on data of its own."""

    set: Settings
    seeds: list[int] = Field(min_length=1)


class StudyOnProjectData(Study):
    """A study on the data of the project's root."""

    set: TrainingSettings


S = TypeVar("S", bound=Study)


def read_study(system: str, model: type[S]) -> tuple[Params, S]:
    """Return the parameters with the study's settings, and the study.

    Raises UserError with a line for each thing that is wrong in either file.
    """
    path = FOLDER / system / "study.yaml"
    study = read_section(path, model)
    return apply_settings(read(), study.set, f"{path}: set"), study


def load_stage(system: str, stage: str, model: type[Study]) -> tuple[Any, Any]:
    """Return what `read_study` does, each as far as dvc.yaml lists keys for the stage.

    (Typed as Any: they stand for a Params and a Study.)
    """
    params, study = read_study(system, model)
    files = listed_keys(FOLDER / system, stage)
    return View(params, stage, files["../../params.yaml"]), View(study, stage, files["study.yaml"], "study")


def listed_keys(folder: Path, stage: str) -> dict[str, tuple[str, ...]]:
    """Return, for each file of parameters, the keys that the study's dvc.yaml lists for a stage.

    Those of study.yaml begin with `study.`, as those of a View of it do. A file that is listed whole has no
    keys.
    """
    files = {path: keys for entry in stage_entry(stage, folder)["params"] for path, keys in entry.items()}
    files["study.yaml"] = [f"study.{key}" for key in files["study.yaml"] or ()]
    return {path: tuple(key.partition(".${")[0] for key in keys or ()) for path, keys in files.items()}


class Stopwatch:
    """Measures how long a study takes, and counts the models that it trains."""

    def __init__(self, models: Path) -> None:
        self.models, self.start = models, time.time()

    def record(self, previous: Path) -> dict[str, Any]:
        """Return {"date", "minutes", "trained"}.

        previous: the file of results that is about to be written again. Where no model was trained, the
        record in it stays: the time that it took to find nothing to do says nothing.
        """
        trained = sum(path.stat().st_mtime >= self.start for path in self.models.rglob("config.json"))
        if not trained and previous.exists():
            return json.loads(previous.read_text(encoding="utf-8")).get("run", {})
        minutes = round((time.time() - self.start) / 60, 1)
        return {"date": datetime.date.today().isoformat(), "minutes": minutes, "trained": trained}


def write_results(folder: Path, metrics: dict[str, Any], tables: str) -> None:
    """Write metrics.json, and the tables that were made from it into README.md.

    metrics: {"run": of Stopwatch.record, "about": facts on the data and the training, "results"}.
    """
    write_json(metrics, folder / "metrics.json")
    readme.replace_generated(folder / "README.md", tables)
