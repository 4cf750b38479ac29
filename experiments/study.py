"""What all studies have in common: how their settings are read, and what they write.

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
# Keys of params.yaml that a study on the project's data may change: none of them changes the data.
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


def check_training_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings (pydantic needs that). Raises ValueError for a key outside of TRAINING_SETTINGS."""
    for key in settings:
        if not any(key == name or key.startswith(f"{name}.") for name in TRAINING_SETTINGS):
            allowed = ", ".join(TRAINING_SETTINGS)
            raise ValueError(f"{key}: cannot be set here; what can: {allowed} and what is under them")
    return settings


Settings = dict[str, Any]  # key of params.yaml, such as `train.epochs` -> value
TrainingSettings = Annotated[Settings, AfterValidator(check_training_settings)]


class Study(Section):
    """The content of study.yaml, for a study on data of its own."""

    set: Settings  # what differs from the project's params.yaml
    seeds: list[int] = Field(min_length=1)  # a training with each


class StudyOnProjectData(Study):
    """The content of study.yaml, for a study on the project's data."""

    set: TrainingSettings


AnyStudy = TypeVar("AnyStudy", bound=Study)


def read_study(system: str, study_type: type[AnyStudy]) -> tuple[Params, AnyStudy]:
    """Read study.yaml of a system, and params.yaml.

    study_type: the class for this study.yaml. Returns the parameters, changed by the study's `set`, and the
    study. Raises UserError with a line for each thing that is wrong in either file.
    """
    path = FOLDER / system / "study.yaml"
    study = read_section(path, study_type)
    return apply_settings(read(), study.set, f"{path}: set"), study


def load_stage(system: str, stage: str, study_type: type[Study]) -> tuple[Any, Any]:
    """Read what `read_study` reads, for one stage of the study.

    Returns the parameters and the study; only the keys that the study's dvc.yaml lists for the stage can be
    read from them. (Their type is View. It is Any here, as they have the attributes of Params and Study.)
    """
    params, study = read_study(system, study_type)
    keys = listed_keys(FOLDER / system, stage)
    return View(params, stage, keys["../../params.yaml"]), View(study, stage, keys["study.yaml"], "study")


def listed_keys(folder: Path, stage: str) -> dict[str, tuple[str, ...]]:
    """Return the keys that the dvc.yaml in `folder` lists for a stage: file of parameters -> its keys.

    Keys of study.yaml get the prefix `study.`, which a View of it expects. A file that is listed as a whole
    has no keys.
    """
    entries = stage_entry(stage, folder)["params"]
    files = {path: keys or [] for entry in entries for path, keys in entry.items()}
    files["study.yaml"] = [f"study.{key}" for key in files["study.yaml"]]
    # Remove templates from keys such as `encoders.audio.${item.audio}`.
    return {path: tuple(key.partition(".${")[0] for key in keys) for path, keys in files.items()}


class Stopwatch:
    """Measures how long a study takes, and counts the models that it trains.

    models: the folder of the study's models.
    """

    def __init__(self, models: Path) -> None:
        self.models, self.start = models, time.time()

    def record(self, previous: Path) -> dict[str, Any]:
        """Return what the results say about this run: {"date", "minutes", "trained": number of models}.

        previous: the file with the results of the last run, which will be replaced. If this run trained no
        model, the record of the last run is returned: the time to find nothing to do is of no interest.
        """
        trained = sum(path.stat().st_mtime >= self.start for path in self.models.rglob("config.json"))
        if not trained and previous.exists():
            return json.loads(previous.read_text(encoding="utf-8")).get("run", {})
        minutes = round((time.time() - self.start) / 60, 1)
        return {"date": datetime.date.today().isoformat(), "minutes": minutes, "trained": trained}


def write_results(folder: Path, metrics: dict[str, Any], tables: str) -> None:
    """Write the results of a study into its folder: metrics.json, and the generated part of README.md.

    metrics: {"run": what Stopwatch.record returned, "about": the data and the training, "results"}.
    tables: the generated part.
    """
    write_json(metrics, folder / "metrics.json")
    readme.replace_generated(folder / "README.md", tables)
