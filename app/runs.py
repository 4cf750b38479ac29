"""What can be asked: this project as it stands, and what `dvc exp run` left in DVC's cache."""

import json
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from pipeline.errors import UserError
from pipeline.store.formats import read_table
from pipeline.store.status import OK

HERE = "this project"
MOST = 50  # experiments in the leaderboard
HEADLINES = (  # what is told of each; the first that there is decides the order
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

    root: a folder laid out like the project. fetch: brings a path of it there, where it is not.
    """

    def __init__(self, name: str, root: Path, fetch: Callable[[str], None]) -> None:
        self.name, self.root, self._fetch = name, root, fetch
        self._tables: dict[str, tuple[int, pa.Table]] = {}
        self._lock = threading.Lock()

    def ready(self, index: bool = False) -> Path:
        """The root, once the checkpoint is in it; with `index`, the embeddings and their index too."""
        for path in ("checkpoints", "data/embeddings", "data/index")[: 3 if index else 1]:
            self._fetch(path)
        return self.root

    @property
    def config(self) -> dict[str, Any]:
        """The model's config.json. Raises UserError where there is none."""
        path = self.ready() / "checkpoints/config.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UserError(f"{self.name}: no model there: train one first (dvc repro)") from None

    @property
    def clips(self) -> pa.Table:
        """The clips that are indexed: clip_id, labels, subject, split."""
        self.ready(index=True)
        return self._table(CLIPS)

    def clip(self, row: int) -> dict[str, Any]:
        """One of them. Raises UserError where there is none such."""
        clips = self.clips
        if not 0 <= row < len(clips):
            raise UserError(f"there is no clip {row}: reload the page")
        return clips.slice(row, 1).to_pylist()[0]

    def image(self, row: int) -> np.ndarray | None:
        """The middle frame (height, width, 3) of a clip."""
        frames = self._value("frames", row)
        return None if frames is None else np.array(frames[len(frames) // 2])

    def wav(self, row: int) -> bytes | None:
        """Its sound."""
        found = self._value("wav", row)
        return found and found["audio"]["bytes"]

    def told(self, path: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        """A small file of the run, JSON or YAML, flat; nothing where it is not there."""
        self._fetch(path)
        try:
            return _flat(parse((self.root / path).read_text(encoding="utf-8")) or {})
        except (OSError, ValueError, AttributeError, yaml.YAMLError):
            return {}

    def _value(self, stage: str, row: int) -> Any:
        clip_id = self.clip(row)["clip_id"]
        index = f"data/{stage}/index.parquet"
        try:
            self._fetch(index)
            table = self._table(index)
            at = pc.index(table["clip_id"], clip_id).as_py()
            if at < 0 or table["status"][at].as_py() != OK:
                return None
            shard, place = table["shard"][at].as_py(), table["row"][at].as_py()
            path = f"data/{stage}/{shard:05d}.{'parquet' if stage == 'wav' else 'npy'}"
            self._fetch(path)
            if stage == "wav":
                return read_table(self.root / path).slice(place, 1).to_pylist()[0]
            return np.load(self.root / path, mmap_mode="r", allow_pickle=False)[place]
        except (UserError, OSError, ValueError, IndexError):
            return None  # the stage is running, or was cleared

    def _table(self, path: str) -> pa.Table:
        """A table, read once for as long as it is not written anew."""
        with self._lock:
            try:
                changed = (self.root / path).stat().st_mtime_ns
                if self._tables.get(path, (0, None))[0] != changed:
                    self._tables[path] = (changed, read_table(self.root / path))
            except (OSError, ValueError):
                raise UserError(f"{self.name}: no index of its clips: dvc repro index") from None
            return self._tables[path][1]


class Runs:
    """The project in `root` and its experiments, by name.

    What an experiment needs is taken from DVC's cache into a temporary folder, once.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = Path(tempfile.mkdtemp(prefix="earsight-runs-"))
        self._runs = {HERE: Run(HERE, root, lambda path: None)}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """This project first, then the experiments."""
        return [HERE, *self._experiments()]

    def __getitem__(self, name: str) -> Run:
        """Raises UserError where there is no such experiment."""
        with self._lock:
            if name not in self._runs:
                revision = self._experiments().get(name)
                if revision is None:
                    raise UserError(f"{name}: no such experiment here: see dvc exp list --all-commits")
                folder = self._folder / revision
                self._runs[name] = Run(name, folder, _fetcher(self.root, revision, folder))
            return self._runs[name]

    def leaderboard(self) -> list[dict[str, Any]]:
        """This project and its experiments, the best first.

        {"name", "metrics" (flat, as `dvc metrics` names them), "params" (flat, those in which they differ)}.
        """
        rows = []
        for name in self.names()[:MOST]:
            metrics = self[name].told("metrics/evaluate.json", json.loads)
            params = self[name].told("params.yaml", yaml.safe_load)
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
        """Name -> revision."""
        from dvc.exceptions import DvcException  # takes a second to import, and is not always needed
        from dvc.repo import Repo

        with suppress(DvcException, OSError), Repo(str(self.root)) as repo:
            listed = repo.experiments.ls(all_commits=True)
            return {name: rev for found in listed.values() for name, rev in found}
        return {}


def _fetcher(root: Path, revision: str, folder: Path) -> Callable[[str], None]:
    """Brings a path of a revision into `folder`. What DVC's cache lacks stays missing."""
    from dvc.api import DVCFileSystem

    system = DVCFileSystem(str(root), rev=revision)
    lock = threading.Lock()

    def fetch(path: str) -> None:
        to = folder / path
        with lock, suppress(FileNotFoundError, PermissionError):  # it would be fetched from afar
            if to.exists():
                return
            part = to.with_name(f".{to.name}.tmp")
            part.parent.mkdir(parents=True, exist_ok=True)
            if system.isdir(path):
                shutil.rmtree(part, ignore_errors=True)
                system.get(path, str(part), recursive=True)
            else:
                system.get_file(path, str(part))
            part.replace(to)

    return fetch


def _flat(tree: dict, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
