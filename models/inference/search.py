"""Search: find the clips nearest to a sound, a picture or a video.

`Library.open()` works in a project after `dvc repro`; `read_and_embed` takes a file, `nearest` an embedding.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import checkpoint
from models.checkpoint import Model
from models.inference import vector_index
from models.inference.decode import DecodedFile
from models.inference.file_model import KINDS, FileModel
from models.inference.index import indexed
from pipeline.errors import UserError
from pipeline.store.formats import read_table

__all__ = ["KINDS", "Hit", "Library", "DecodedFile"]


@dataclass
class Hit:
    """A search result. row: the row of the clip in the library's clips.

    score: the cosine similarity of the embeddings, or the matcher's logit if the matcher is no distance.
    """

    clip_id: str
    score: float
    labels: list[str]
    split: str
    row: int


class Library:
    """A model, its index, and the clips of the index."""

    def __init__(self, model: Model, clips: list[dict], searchers: dict[str, vector_index.Searcher]) -> None:
        self.model, self.clips, self.searchers = model, clips, searchers
        self.files = FileModel(model)

    @classmethod
    def open(cls, root: str | Path = ".", model: Model | None = None) -> "Library":
        """Open the library of the project in `root`. model: that of the project, if it is loaded already.

        Raises UserError if the stages train and index have not been run.
        """
        root = Path(root)
        model = model or checkpoint.load(root / "checkpoints")
        folder = root / "data/embeddings"
        try:
            clips = read_table(folder / "clips.parquet").to_pylist()
            stored = {side: np.load(folder / f"{side}.npy", mmap_mode="r") for side in indexed(model)}
        except (OSError, ValueError) as e:
            raise UserError(f"{folder}: embeddings cannot be read ({e}): run dvc repro index") from None
        searchers = {
            side: vector_index.load(root / f"data/index/{side}.faiss", vectors)
            for side, vectors in stored.items()
        }
        return cls(model, clips, searchers)

    def read_and_embed(self, path: str | Path, start: float = 0.0) -> DecodedFile:
        """Read and embed a file, as models.inference.file_model.FileModel.read_and_embed."""
        return self.files.read_and_embed(path, start)

    def directions(self, query: DecodedFile) -> list[str]:
        """Return the directions in which `query` can be searched, as `audio_to_video`."""
        return [
            f"{source}_to_{target}"
            for source in query.embeddings
            for target in self.searchers
            if source == target or self.model.module.cross_modal
        ]

    def nearest(self, embedding: np.ndarray, direction: str, k: int = 10) -> list[Hit]:
        """Return the k clips nearest to an embedding (dim,), best first. direction: as `audio_to_video`."""
        source, target = direction.split("_to_")
        searcher, module = self.searchers[target], self.model.module
        if source == target or module.by_distance:
            rows, scores = (x[0] for x in searcher.search(embedding[None], k))
        else:  # the index cannot rank by a matcher that is no distance: score every clip
            pair = (embedding[None], searcher.vectors)
            clip_scores = self.model.scores(*(pair if source == "audio" else pair[::-1])).ravel()
            rows = np.argsort(-clip_scores, kind="stable")[:k]
            scores = clip_scores[rows]
        # FAISS returns row -1 for what it does not find.
        return [self._hit(int(row), float(s)) for row, s in zip(rows, scores, strict=True) if row >= 0]

    def _hit(self, row: int, score: float) -> Hit:
        clip = self.clips[row]
        return Hit(clip["clip_id"], score, clip["labels"] or [], clip["split"], row)
