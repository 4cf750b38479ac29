"""The origin of a model: its run in dvc.lock, its metrics, and its data."""

import csv
import json
import posixpath
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dvc.scm import SCM, SCMError
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB
from dvc_objects.fs.local import localfs

from models.places import MODEL
from models.weights import weights_digest
from pipeline.errors import UserError

# Paths in a project, relative to its root.
PARAMS = "params.yaml"
ROOT_MARKS = (PARAMS, "stages")  # only the root has both: the folder of a study has a params.yaml too
LOCKS = ("dvc.lock", "experiments/*/dvc.lock")
CLIPS = "data/clips.parquet"
CLIP_COUNTS, CLASSES = "metrics/clips.json", "metrics/classes.csv"  # the stage `clips` writes them
EVALUATION = re.compile(r"metrics/evaluate\.json|experiments/[^/]+/metrics/[^/]+\.json")


@dataclass(frozen=True)
class Origin:
    """What a model was trained on, with which parameters, and its metrics. What is not known is empty."""

    metrics: dict[str, Any] = field(default_factory=dict)  # the content of metrics/evaluate.json
    no_metrics: str = ""  # why there are no metrics
    params: dict[str, Any] = field(default_factory=dict)  # key -> value, of the stage that trained the model
    data: dict[str, Any] = field(default_factory=dict)  # `source`, and the counts of metrics/clips.json
    labels: list[str] = field(default_factory=list)  # all labels of the data, sorted
    revision: str = ""  # the commit of the project in Git

    @classmethod
    def find(cls, folder: str | Path) -> "Origin":
        """Find the origin of the model in `folder`.

        This is a folder of a project, or a copy of its folder `checkpoints`. The result has only what the
        hashes in dvc.lock prove to belong to this model.
        """
        root = _find_project(Path(folder))
        if root is None:
            return cls(no_metrics="the model is in no project")
        stages, path = _read_locks(root), _project_path(root, Path(folder))
        revision, model_hash = _read_revision(root), _dvc_hash(root / path)
        training = next((stage for stage in stages.values() if stage.outs.get(path) == model_hash), None)
        if training is None:
            return cls(no_metrics="dvc.lock has no run that trained this model", revision=revision)
        metrics = _read_metrics(root, stages, path, model_hash)
        no_metrics = "" if metrics else "this model was not evaluated: dvc repro evaluate"
        data, labels = _read_data(root, stages, training)
        return cls(metrics, no_metrics, training.params, data, labels, revision)


@dataclass(frozen=True)
class _Stage:
    """A stage in dvc.lock: what a run of it read and wrote. Paths are relative to the project's root."""

    deps: dict[str, str]  # path -> DVC's hash of the content
    outs: dict[str, str]  # path -> DVC's hash of the content
    params: dict[str, Any]  # key of params.yaml -> value


def _find_project(folder: Path) -> Path | None:
    """Return the root of the project that `folder` is in; None if it is in no project."""
    for parent in folder.resolve().parents:
        if all((parent / name).exists() for name in ROOT_MARKS):
            return parent
    return None


def _read_metrics(root: Path, stages: dict[str, _Stage], path: str, model_hash: str) -> dict[str, Any]:
    """Read the metrics of a model from the file that a stage wrote after it had read or trained this model.

    path, model_hash: the folder of the model, and DVC's hash of it. Returns {} if there is no such file, or
    it was changed since.
    """
    for stage in stages.values():
        if (stage.deps | stage.outs).get(path) != model_hash:
            continue
        for out, out_hash in stage.outs.items():
            if EVALUATION.fullmatch(out) and out_hash == _dvc_hash(root / out):
                return _read_json(root / out)
    return {}


def _read_data(root: Path, stages: dict[str, _Stage], training: _Stage) -> tuple[dict[str, Any], list[str]]:
    """Return `data` and `labels` of an Origin; both are empty if the training did not read today's clips."""
    data: dict[str, Any] = {}
    labels: list[str] = []
    clips = stages.get("clips")
    if clips and training.deps.get(CLIPS) == clips.outs.get(CLIPS):
        if clips.outs.get(CLIP_COUNTS) == _dvc_hash(root / CLIP_COUNTS):
            data = {"source": clips.params.get("data.source")} | _read_json(root / CLIP_COUNTS)
        if clips.outs.get(CLASSES) == _dvc_hash(root / CLASSES):
            with open(root / CLASSES, newline="", encoding="utf-8") as f:
                labels = sorted(row["label"] for row in csv.DictReader(f))
    return data, labels


def _read_locks(root: Path) -> dict[str, _Stage]:
    """Read all dvc.lock files of a project. Returns name -> stage; one of a study is named `folder/name`."""
    stages = {}
    for lock in (path for pattern in LOCKS for path in sorted(root.glob(pattern))):
        folder = lock.parent.relative_to(root).as_posix()
        try:
            entries = yaml.load(lock.read_text(encoding="utf-8"), yaml.CSafeLoader)["stages"]
            for name, entry in entries.items():
                deps, outs = (
                    {_to_root_path(folder, file["path"]): file.get("md5", "") for file in entry.get(key, [])}
                    for key in ("deps", "outs")
                )
                # A stage of a study also has parameters in other files than params.yaml.
                params = {
                    key: value
                    for path, values in entry.get("params", {}).items()
                    if _to_root_path(folder, path) == PARAMS
                    for key, value in values.items()
                }
                stages[_to_root_path(folder, name)] = _Stage(deps, outs, params)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as e:
            name = lock.relative_to(root)
            raise UserError(f"{lock}: not a dvc.lock ({type(e).__name__}): git checkout {name}") from None
    return stages


def _to_root_path(folder: str, path: str) -> str:
    """Convert a path relative to `folder` to one relative to the project's root."""
    return posixpath.normpath(posixpath.join(folder, path))


def _project_path(root: Path, folder: Path) -> str:
    """Return the path of a model's folder, relative to the project's root.

    For a copy of `checkpoints` it is the path of the original, which dvc.lock has.
    """
    try:
        if weights_digest(folder) == weights_digest(root / MODEL):
            return MODEL
    except UserError:
        pass  # one of them does not exist
    return folder.resolve().relative_to(root).as_posix()


def _dvc_hash(path: Path) -> str:
    """Return DVC's hash of a file or a folder; empty if it does not exist."""
    if not path.exists():
        return ""
    with tempfile.TemporaryDirectory() as temporary:
        _, _, result = build(HashFileDB(localfs, temporary), str(path), localfs, "md5", dry_run=True)
    return result.hash_info.value or ""


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_revision(root: Path) -> str:
    """Return the commit of a project in Git; empty if it is in no Git repository."""
    try:
        with SCM(str(root), search_parent_directories=True) as git:
            return git.get_rev() + (" with local changes" if git.is_dirty() else "")
    except SCMError:
        return ""
