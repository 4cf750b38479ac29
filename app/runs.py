"""The runs that the page can show: this project, and the experiments of `dvc exp run` in DVC's cache."""

import json
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from pipeline.errors import UserError
from pipeline.store import storage
from pipeline.store.formats import read_table
from pipeline.store.values import read_arrays, read_files

THIS_PROJECT = "this project"
MOST = 50  # maximum number of experiments in the leaderboard
HEADLINES = (  # metrics in the leaderboard; it is sorted by the first that exists
    "correspondence.auc",
    "correspondence.accuracy",
    "classification.accuracy",
    "classification.map",
    "retrieval.audio_to_video.ndcg_30",
    "retrieval.video_to_audio.ndcg_30",
)
CLIPS = "data/embeddings/clips.parquet"


class Run:
    """The files of one trained model and its clips.

    root: a folder with the layout of a project. fetch: copies a path into it if it is missing. local: as
    pipeline.store.storage.local_path.
    """

    def __init__(
        self, name: str, root: Path, fetch: Callable[[str], None], local: Callable[[str], Path]
    ) -> None:
        self.name, self.root, self._fetch, self._local = name, root, fetch, local
        self._tables: dict[str, tuple[int, pa.Table]] = {}
        self._lock = threading.Lock()

    def fetch_model(self, with_index: bool = False) -> Path:
        """Fetch the checkpoint, and with `with_index` the embeddings and their index. Return the root."""
        for path in ("checkpoints", "data/embeddings", "data/index")[: 3 if with_index else 1]:
            self._fetch(path)
        return self.root

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
        return self._table(CLIPS)

    def clip(self, row: int) -> dict[str, Any]:
        """Return a clip of the index. Raises UserError if there is no such row."""
        clips = self.clips
        if not 0 <= row < len(clips):
            raise UserError(f"there is no clip {row}: reload the page")
        return clips.slice(row, 1).to_pylist()[0]

    def image(self, row: int) -> np.ndarray:
        """Return the middle frame (height, width, 3) of a clip. Raises UserError if it has no picture."""
        frames = self._value("frames", row, read_arrays)
        return np.array(frames[len(frames) // 2])

    def wav(self, row: int) -> bytes:
        """Return the sound of a clip. Raises UserError if it has none."""
        return self._value("wav", row, partial(read_files, column="audio"))

    def read_flat(self, path: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        """Read a small file of the run, JSON or YAML, with flat keys; empty if it is missing."""
        self._fetch(path)
        try:
            return _flat(parse((self.root / path).read_text(encoding="utf-8")) or {})
        except (OSError, ValueError, AttributeError, yaml.YAMLError):
            return {}

    def _value(self, stage: str, row: int, read: Callable[..., dict[str, Any]]) -> Any:
        """What a stage made of a clip. read: of pipeline.store.values."""
        clip_id, folder = self.clip(row)["clip_id"], f"data/{stage}"
        self._fetch(f"{folder}/index.parquet")
        index = self._table(f"{folder}/index.parquet")
        values = read(self.root / folder, [clip_id], index=index, locate=self._shard)
        if clip_id not in values:
            raise UserError(f"clip {clip_id}: nothing in {folder}: python -m app.failures says why")
        return values[clip_id]

    def _shard(self, place: str) -> Path:
        """A file with the shard that lies at a place."""
        if "://" in place or not Path(place).is_relative_to(self.root):
            return self._local(place)
        name = Path(place).relative_to(self.root).as_posix()
        self._fetch(name)
        if self.name != THIS_PROJECT and not Path(place).exists():
            raise UserError(f"{self.name}: {name} is not in DVC's cache: run dvc exp apply and dvc repro")
        return Path(place)

    def _table(self, path: str) -> pa.Table:
        """A table, read once for as long as it is not written anew."""
        with self._lock:
            try:
                modified = (self.root / path).stat().st_mtime_ns
                if self._tables.get(path, (0, None))[0] != modified:
                    self._tables[path] = (modified, read_table(self.root / path))
            except (OSError, ValueError):
                raise UserError(f"{self.name}: {path}: missing or unreadable: run dvc repro") from None
            return self._tables[path][1]


class Runs:
    """The project in `root` and its experiments, by name.

    The files of an experiment are copied from DVC's cache into a temporary folder when they are needed.
    local: as pipeline.store.storage.local_path.
    """

    def __init__(self, root: Path, local: Callable[[str], Path] = storage.local_path) -> None:
        self.root, self._local = root, local
        self._folder = Path(tempfile.mkdtemp(prefix="earsight-runs-"))
        self._runs = {THIS_PROJECT: Run(THIS_PROJECT, root, lambda path: None, local)}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the names of the runs: this project first, then the experiments."""
        return [THIS_PROJECT, *self._experiments()]

    def __getitem__(self, name: str) -> Run:
        """Return a run. Raises UserError if there is no such experiment."""
        with self._lock:
            if name not in self._runs:
                revision = self._experiments().get(name)
                if revision is None:
                    raise UserError(f"{name}: no such experiment: see dvc exp list --all-commits")
                folder = self._folder / revision
                self._runs[name] = Run(name, folder, _make_fetch(self.root, revision, folder), self._local)
            return self._runs[name]

    def leaderboard(self) -> list[dict[str, Any]]:
        """Return a row for this project and each experiment, the best first.

        {"name", "metrics" (flat, with the names of `dvc metrics`), "params" (flat, those that differ)}.
        """
        rows = []
        for name in self.names()[:MOST]:
            metrics = self[name].read_flat("metrics/evaluate.json", json.loads)
            params = self[name].read_flat("params.yaml", yaml.safe_load)
            rows.append({"name": name, "metrics": metrics, "params": params})
        names = dict.fromkeys(key for row in rows for key in row["params"])
        differ = [n for n in names if len({str(row["params"].get(n)) for row in rows}) > 1]
        for row in rows:
            row["params"] = {n: row["params"].get(n) for n in differ}
        first = next((h for h in HEADLINES if any(h in row["metrics"] for row in rows)), "")
        return sorted(rows, key=lambda row: -row["metrics"].get(first, -1))

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _experiments(self) -> dict[str, str]:
        """Return name -> revision."""
        from dvc.exceptions import DvcException  # takes a second to import, and is rarely needed
        from dvc.repo import Repo

        with suppress(DvcException, OSError), Repo(str(self.root)) as repo:
            commits = repo.experiments.ls(all_commits=True)
            return {name: revision for experiments in commits.values() for name, revision in experiments}
        return {}


def _make_fetch(root: Path, revision: str, folder: Path) -> Callable[[str], None]:
    """Return a function that copies a path of a revision from DVC's cache, if it is there, into `folder`."""
    from dvc.api import DVCFileSystem

    system = DVCFileSystem(str(root), rev=revision)
    lock = threading.Lock()

    def fetch(path: str) -> None:
        target = folder / path
        # PermissionError: the file is in remote storage, and this process must not open connections.
        with lock, suppress(FileNotFoundError, PermissionError):
            if target.exists():
                return
            part = target.with_name(f".{target.name}.tmp")
            part.parent.mkdir(parents=True, exist_ok=True)
            if system.isdir(path):
                shutil.rmtree(part, ignore_errors=True)
                system.get(path, str(part), recursive=True)
            else:
                system.get_file(path, str(part))
            part.replace(target)

    return fetch


def _flat(tree: dict, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
