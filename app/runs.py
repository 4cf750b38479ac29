"""The runs that the page can show: this project, and the experiments of `dvc exp run` in DVC's cache."""

import json
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import yaml

from pipeline.errors import UserError
from pipeline.store import storage
from pipeline.store.formats import read_table
from pipeline.store.values import read_arrays, read_files

THIS_PROJECT = "this project"
MAX_EXPERIMENTS = 50  # maximum number of runs in the leaderboard
HEADLINES = (  # metrics in the leaderboard; it is sorted by the first that exists
    "correspondence.auc",
    "correspondence.accuracy",
    "classification.accuracy",
    "classification.map",
    "retrieval.audio_to_video.ndcg_30",
    "retrieval.video_to_audio.ndcg_30",
)
CLIPS = "data/embeddings/clips.parquet"


class CachedTable(NamedTuple):
    """A table of a file, and when the file was written (ns): a changed file is read again."""

    modification_time: int
    table: pa.Table


class Run:
    """The files of one trained model and its clips.

    name: THIS_PROJECT or the name of an experiment. folder: it has the layout of a project.
    fetch_path: copies a file or folder, given by its path relative to `folder`, into `folder` if it is
    missing there. locate_shard: takes the location of a shard (a path, or a URL) and returns a local file
    with its content.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        fetch_path: Callable[[str], None],
        locate_shard: Callable[[str], Path],
    ) -> None:
        """Create the run; its files are fetched only when they are needed."""
        self.name = name
        self.folder = folder
        self._fetch_path = fetch_path
        self._locate_shard = locate_shard
        self._tables: dict[str, CachedTable] = {}  # path relative to `folder` -> table
        self._lock = threading.Lock()  # of _tables: requests run in several threads

    def fetch_model(self, with_index: bool = False) -> Path:
        """Fetch the checkpoint, and with `with_index` also the embeddings and their index.

        Returns the folder of the run.
        """
        paths = ["checkpoints"]
        if with_index:
            paths += ["data/embeddings", "data/index"]
        for path in paths:
            self._fetch_path(path)
        return self.folder

    @property
    def config(self) -> dict[str, Any]:
        """The model's config.json. Raises UserError if there is none."""
        path = self.fetch_model() / "checkpoints/config.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UserError(f"{self.name}: no model: train one first (dvc repro)") from None

    @property
    def clips(self) -> pa.Table:
        """The clips of the index: clip_id, labels, subject, split."""
        self.fetch_model(with_index=True)
        return self._read_table(CLIPS)

    def read_clip(self, row: int) -> dict[str, Any]:
        """Return a row of `clips`: {"clip_id", "labels", "subject", "split"}.

        Raises UserError if there is no such row.
        """
        clips = self.clips
        if not 0 <= row < len(clips):
            raise UserError(f"there is no clip {row}: reload the page")
        return clips.slice(row, 1).to_pylist()[0]

    def read_image(self, row: int) -> np.ndarray:
        """Return the middle frame of a clip, (height, width, 3) uint8. row: its row in `clips`.

        Raises UserError if the clip has no picture.
        """
        frames = self._read_stage_value("frames", row, read_arrays)
        return np.array(frames[len(frames) // 2])

    def read_wav(self, row: int) -> bytes:
        """Return the sound of a clip as a WAV file. row: its row in `clips`.

        Raises UserError if the clip has no sound.
        """
        return self._read_stage_value("wav", row, partial(read_files, column="audio"))

    def read_flat(self, path: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        """Return a JSON or YAML file of the run as one flat dict, such as {"data.source": ...}.

        path: relative to the run's folder. parse: converts the text of the file to nested dicts.
        Returns an empty dict if the file is missing or cannot be parsed.
        """
        self._fetch_path(path)
        try:
            return _flatten(parse((self.folder / path).read_text(encoding="utf-8")) or {})
        except (OSError, ValueError, AttributeError, yaml.YAMLError):
            return {}

    def _read_stage_value(self, stage: str, row: int, read: Callable[..., dict[str, Any]]) -> Any:
        """Return what a data stage computed for a clip.

        row: the row of the clip in `clips`. read: `read_arrays` or `read_files` of pipeline.store.values,
        which returns values by clip id. Raises UserError if the stage computed nothing for the clip.
        """
        clip_id, stage_folder = self.read_clip(row)["clip_id"], f"data/{stage}"
        self._fetch_path(f"{stage_folder}/index.parquet")
        index = self._read_table(f"{stage_folder}/index.parquet")
        values = read(self.folder / stage_folder, [clip_id], index=index, locate=self._fetch_shard)
        if clip_id not in values:
            raise UserError(f"clip {clip_id}: nothing in {stage_folder}: python -m app.failures says why")
        return values[clip_id]

    def _fetch_shard(self, location: str) -> Path:
        """Return a local file with the content of a shard. location: a path, or a URL in `engine.storage`."""
        if "://" in location or not Path(location).is_relative_to(self.folder):
            return self._locate_shard(location)
        path = Path(location).relative_to(self.folder).as_posix()
        self._fetch_path(path)
        if self.name != THIS_PROJECT and not Path(location).exists():
            raise UserError(f"{self.name}: {path} is not in DVC's cache: run dvc exp apply and dvc repro")
        return Path(location)

    def _read_table(self, path: str) -> pa.Table:
        """Read a Parquet file of the run, at most once as long as the file does not change.

        path: relative to the run's folder. Raises UserError if the file is missing or unreadable.
        """
        with self._lock:
            try:
                modification_time = (self.folder / path).stat().st_mtime_ns
                cached = self._tables.get(path)
                if cached is None or cached.modification_time != modification_time:
                    cached = CachedTable(modification_time, read_table(self.folder / path))
                    self._tables[path] = cached
            except (OSError, ValueError):
                raise UserError(f"{self.name}: {path}: missing or unreadable: run dvc repro") from None
            return cached.table


class Runs:
    """The project in the folder `project` and its experiments, by name: `runs["this project"]`.

    The files of an experiment are copied from DVC's cache into a temporary folder when they are needed.
    locate_shard: takes the location of a shard (a path, or a URL) and returns a local file with its content.
    """

    def __init__(self, project: Path, locate_shard: Callable[[str], Path] = storage.local_path) -> None:
        """Create the runs, and the temporary folder that `close` deletes."""
        self.project = project
        self._locate_shard = locate_shard
        self._experiments_folder = Path(tempfile.mkdtemp(prefix="earsight-runs-"))
        self._runs = {THIS_PROJECT: Run(THIS_PROJECT, project, lambda path: None, locate_shard)}
        self._lock = threading.Lock()  # of _runs: requests run in several threads

    def names(self) -> list[str]:
        """Return the names of the runs: this project first, then the experiments."""
        return [THIS_PROJECT, *self._list_experiments()]

    def __getitem__(self, name: str) -> Run:
        """Return a run. Raises UserError if there is no such experiment."""
        with self._lock:
            if name not in self._runs:
                revision = self._list_experiments().get(name)
                if revision is None:
                    raise UserError(f"{name}: no such experiment: see dvc exp list --all-commits")
                folder = self._experiments_folder / revision
                fetch_path = _make_fetch_path(self.project, revision, folder)
                self._runs[name] = Run(name, folder, fetch_path, self._locate_shard)
            return self._runs[name]

    def leaderboard(self) -> list[dict[str, Any]]:
        """Return a row for this project and each experiment, the best first.

        A row is {"name", "metrics": {name as in `dvc metrics`: value}, "params": {dotted name: value}}, with
        only those parameters that are not the same in all rows.
        """
        rows: list[dict[str, Any]] = []
        for name in self.names()[:MAX_EXPERIMENTS]:
            metrics = self[name].read_flat("metrics/evaluate.json", json.loads)
            params = self[name].read_flat("params.yaml", yaml.safe_load)
            rows.append({"name": name, "metrics": metrics, "params": params})
        param_names = dict.fromkeys(param for row in rows for param in row["params"])  # ordered, each once
        differing = [
            param for param in param_names if len({str(row["params"].get(param)) for row in rows}) > 1
        ]
        for row in rows:
            row["params"] = {param: row["params"].get(param) for param in differing}
        sort_metric = next((m for m in HEADLINES if any(m in row["metrics"] for row in rows)), "")
        # A run without this metric comes last: -1 is below every value.
        return sorted(rows, key=lambda row: -row["metrics"].get(sort_metric, -1))

    def close(self) -> None:
        """Delete the files that were copied from DVC's cache."""
        shutil.rmtree(self._experiments_folder, ignore_errors=True)

    def _list_experiments(self) -> dict[str, str]:
        """Return name -> Git revision of every experiment; an empty dict if DVC cannot list them."""
        from dvc.exceptions import DvcException  # takes a second to import, and is rarely needed
        from dvc.repo import Repo

        with suppress(DvcException, OSError), Repo(str(self.project)) as repo:
            commits = repo.experiments.ls(all_commits=True)
            return {name: revision for experiments in commits.values() for name, revision in experiments}
        return {}


def _make_fetch_path(project: Path, revision: str, folder: Path) -> Callable[[str], None]:
    """Return a function that copies a file or folder of an experiment from DVC's cache into `folder`.

    project: the folder of the project. revision: the experiment's Git revision. The function takes a path
    relative to the project. It does nothing if the copy exists already, or if the cache lacks the path.
    """
    from dvc.api import DVCFileSystem

    file_system = DVCFileSystem(str(project), rev=revision)
    lock = threading.Lock()  # two requests must not copy the same path at the same time

    def fetch_path(path: str) -> None:
        target = folder / path
        # PermissionError: the file is in remote storage, and this process must not open connections.
        with lock, suppress(FileNotFoundError, PermissionError):
            if target.exists():
                return
            # Copy to a temporary name first: `target` never exists with only a part of its content.
            temporary = target.with_name(f".{target.name}.tmp")
            temporary.parent.mkdir(parents=True, exist_ok=True)
            if file_system.isdir(path):
                shutil.rmtree(temporary, ignore_errors=True)
                file_system.get(path, str(temporary), recursive=True)
            else:
                file_system.get_file(path, str(temporary))
            temporary.replace(target)

    return fetch_path


def _flatten(nested: dict, prefix: str = "") -> dict[str, Any]:
    """Return a nested dict as a flat one: {"data": {"source": 1}} as {"data.source": 1}.

    prefix: is put before every key.
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
