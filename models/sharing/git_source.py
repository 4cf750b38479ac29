"""Where a model comes from: what dvc.lock tells of the run that made it, and what was measured of it."""

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

from models.checkpoint import identity
from models.sharing.load import MODEL
from pipeline.errors import UserError

PARAMS = "params.yaml"
PROJECT = (PARAMS, "stages")  # what lies at the top of one; a study's folder has a params.yaml too
LOCKS = ("dvc.lock", "experiments/*/dvc.lock")
CLIPS = "data/clips.parquet"
COUNTED = ("metrics/clips.json", "metrics/classes.csv")
MEASURED = re.compile(r"metrics/evaluate\.json|experiments/[^/]+/metrics/[^/]+\.json")


@dataclass(frozen=True)
class Origin:
    """metrics: as in metrics/evaluate.json; none: why there are none. params: of the stage that made it, by
    their keys. data: `source`, and what metrics/clips.json counts. labels: of the data. revision: of Git, as
    the project lies there."""

    metrics: dict[str, Any] = field(default_factory=dict)
    none: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    revision: str = ""

    @classmethod
    def of(cls, folder: str | Path) -> "Origin":
        """Of the model in `folder`. A copy of a project's checkpoints is known by its weights.

        Nothing is told that the hashes in dvc.lock do not prove to be of this model.
        """
        root = next(
            (p for p in Path(folder).resolve().parents if all((p / x).exists() for x in PROJECT)), None
        )
        if root is None:
            return cls(none="the model lies in no project")
        stages, place = _locked(root), _place(root, Path(folder))
        revision, now = _revision(root), _digest(root / place)
        made = next((s for s in stages.values() if s.outs.get(place) == now), None)
        if made is None:
            return cls(none="dvc.lock knows no run that made this model", revision=revision)
        known = {
            path: root / path
            for stage in stages.values()
            if (stage.deps | stage.outs).get(place) == now
            for path, digest in stage.outs.items()
            if MEASURED.fullmatch(path) and digest == _digest(root / path)
        }
        metrics = _json(next(iter(known.values()))) if known else {}
        none = "" if metrics else "this model was not evaluated: dvc repro evaluate"
        data: dict[str, Any] = {}
        labels: list[str] = []
        clips = stages.get("clips")
        if clips and made.deps.get(CLIPS) == clips.outs.get(CLIPS):
            counts, classes = (root / path for path in COUNTED)
            if clips.outs.get(COUNTED[0]) == _digest(counts):
                data = {"source": clips.params.get("data.source")} | _json(counts)
            if clips.outs.get(COUNTED[1]) == _digest(classes):
                with open(classes, newline="", encoding="utf-8") as f:
                    labels = sorted(row["label"] for row in csv.DictReader(f))
        return cls(metrics, none, made.params, data, labels, revision)


@dataclass(frozen=True)
class _Stage:
    """deps, outs: path -> DVC's hash. params: key -> value."""

    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, Any]


def _locked(root: Path) -> dict[str, _Stage]:
    """The stages that dvc.lock files know, by name; those of a study by its folder and name."""
    stages = {}
    for lock in (path for pattern in LOCKS for path in sorted(root.glob(pattern))):
        folder = lock.parent.relative_to(root).as_posix()
        try:
            entries = yaml.load(lock.read_text(encoding="utf-8"), yaml.CSafeLoader)["stages"]
            for name, entry in entries.items():
                paths = {
                    kind: {_in_root(folder, x["path"]): x.get("md5", "") for x in entry.get(kind, [])}
                    for kind in ("deps", "outs")
                }
                # A study also depends on other files of keys than params.yaml.
                params = {
                    key: value
                    for path, values in entry.get("params", {}).items()
                    if _in_root(folder, path) == PARAMS
                    for key, value in values.items()
                }
                stages[_in_root(folder, name)] = _Stage(**paths, params=params)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as e:
            place = lock.relative_to(root)
            raise UserError(f"{lock}: not DVC's ({type(e).__name__}): git checkout {place}") from None
    return stages


def _in_root(folder: str, path: str) -> str:
    """A path that is written from `folder`, written from the project's root."""
    return posixpath.normpath(posixpath.join(folder, path))


def _place(root: Path, folder: Path) -> str:
    """The folder's path in the project, or that of the checkpoints of which it is a copy."""
    try:
        if identity(folder) == identity(root / MODEL):
            return MODEL
    except UserError:
        pass  # one of them is not there
    return folder.resolve().relative_to(root).as_posix()


def _digest(path: Path) -> str:
    """DVC's hash of a file or a folder; empty where there is none."""
    if not path.exists():
        return ""
    with tempfile.TemporaryDirectory() as aside:
        _, _, found = build(HashFileDB(localfs, aside), str(path), localfs, "md5", dry_run=True)
    return found.hash_info.value or ""


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _revision(root: Path) -> str:
    try:
        with SCM(str(root), search_parent_directories=True) as git:
            return git.get_rev() + (" and changes since" if git.is_dirty() else "")
    except SCMError:
        return ""
