"""Which clips are nearest to a sound, a picture or a video.

`Library.open()` in a project where `dvc repro` has run; `query` takes any file, `nearest` any embeddings.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import checkpoint
from models.checkpoint import Model
from models.inference import vector_index
from models.inference.file_model import KINDS, FileModel
from models.inference.index import indexed
from models.inference.query import Query
from pipeline.errors import UserError
from pipeline.store.formats import read_table

__all__ = ["KINDS", "Hit", "Library", "Query"]


@dataclass
class Hit:
    """A clip that was found, in this row of the library's clips.

    score: the cosine of the embeddings; the matcher's logit where the matcher is no distance.
    """

    clip_id: str
    score: float
    labels: list[str]
    split: str
    row: int


class Library:
    """A model, and all clips of an index."""

    def __init__(self, model: Model, clips: list[dict], searchers: dict[str, vector_index.Searcher]) -> None:
        self.model, self.clips, self.searchers = model, clips, searchers
        self.files = FileModel(model)

    @classmethod
    def open(cls, root: str | Path = ".", model: Model | None = None) -> "Library":
        """Of the project in `root`, with its own model unless it is there already.

        Raises UserError where the stages train and index have not been run.
        """
        root = Path(root)
        model = model or checkpoint.load(root / "checkpoints")
        folder = root / "data/embeddings"
        try:
            clips = read_table(folder / "clips.parquet").to_pylist()
            stored = {side: np.load(folder / f"{side}.npy", mmap_mode="r") for side in indexed(model)}
        except (OSError, ValueError) as e:
            raise UserError(f"{folder}: no embeddings there ({e}): run dvc repro index") from None
        found = {side: vector_index.load(root / f"data/index/{side}.faiss", v) for side, v in stored.items()}
        return cls(model, clips, found)

    def query(self, path: str | Path, start: float = 0.0) -> Query:
        """As of models.inference.file_model.FileModel.query."""
        return self.files.query(path, start)

    def directions(self, query: Query) -> list[str]:
        """In which `query` can be asked, as `audio_to_video`."""
        return [
            f"{source}_to_{target}"
            for source in query.embeddings
            for target in self.searchers
            if source == target or self.model.module.cross_modal
        ]

    def nearest(self, embedding: np.ndarray, direction: str, k: int = 10) -> list[Hit]:
        """The k clips nearest to an embedding (dim,), best first. direction: as `audio_to_video`."""
        source, target = direction.split("_to_")
        searcher, module = self.searchers[target], self.model.module
        if source == target or module.by_distance:
            rows, scores = (x[0] for x in searcher.search(embedding[None], k))
        else:  # a matcher that is no distance is asked about every clip
            ends = (embedding[None], searcher.vectors)
            every = self.model.scores(*(ends if source == "audio" else ends[::-1])).ravel()
            rows = np.argsort(-every, kind="stable")[:k]
            scores = every[rows]
        found = [(int(row), float(s)) for row, s in zip(rows, scores, strict=True) if row >= 0]
        return [self._hit(row, score) for row, score in found]

    def _hit(self, row: int, score: float) -> Hit:
        clip = self.clips[row]
        return Hit(clip["clip_id"], score, clip["labels"] or [], clip["split"], row)
