"""Search: find the clips nearest to a sound, a picture or a video.

`Library.open()` opens a project in which `dvc repro` has run. `Library.read_and_embed` embeds a file, and
`Library.nearest` finds the clips nearest to an embedding.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import checkpoint
from models.checkpoint import Model
from models.inference import vector_index
from models.inference.decode import DecodedFile
from models.inference.file_model import FileModel
from models.inference.index import indexed_modalities
from pipeline.errors import UserError
from pipeline.store.formats import read_table


@dataclass
class Hit:
    """One search result: a clip that is similar to the query."""

    clip_id: str
    score: float  # cosine similarity of the embeddings; or the matcher's logit, if the matcher is no distance
    labels: list[str]
    split: str
    row: int  # of the clip in Library.clips and in the stored embeddings


class Library:
    """The clips of a project, which can be searched for those nearest to a file.

    model: the project's model. files: the same model, which takes files. clips: the rows of
    data/embeddings/clips.parquet. searchers: "audio", "video" or "both" -> the index of these embeddings.
    """

    def __init__(self, model: Model, clips: list[dict], searchers: dict[str, vector_index.Searcher]) -> None:
        self.model, self.clips, self.searchers = model, clips, searchers
        self.files = FileModel(model)

    @classmethod
    def open(cls, root: str | Path = ".", model: Model | None = None) -> "Library":
        """Open the library of a project.

        root: the folder of the project. model: the project's model, if it is loaded already.
        Raises UserError if the stages train and index have not been run.
        """
        root = Path(root)
        model = model or checkpoint.load(root / "checkpoints")
        folder = root / "data/embeddings"
        try:
            clips = read_table(folder / "clips.parquet").to_pylist()
            embeddings = {
                modality: np.load(folder / f"{modality}.npy", mmap_mode="r")
                for modality in indexed_modalities(model)
            }
        except (OSError, ValueError) as e:
            raise UserError(f"{folder}: embeddings cannot be read ({e}): run dvc repro index") from None
        searchers = {
            modality: vector_index.load(root / f"data/index/{modality}.faiss", vectors)
            for modality, vectors in embeddings.items()
        }
        return cls(model, clips, searchers)

    def read_and_embed(self, path: str | Path, start: float = 0.0) -> DecodedFile:
        """Decode a file from `start` (seconds) on, and embed its middle window, as a query.

        Raises UserError if the file has neither a sound nor a picture that the model reads.
        """
        return self.files.read_and_embed(path, start)

    def embed_text(self, text: str) -> tuple[str, np.ndarray]:
        """Embed words as a query. Returns the modality whose place they take, and the embedding (dim,).

        Raises UserError if the model has no tower with a text side.
        """
        from models.inference.words import embed_texts  # few models have one

        side, [embedding] = embed_texts(self.model, [text])
        return side, embedding

    def directions(self, query: DecodedFile) -> list[str]:
        """Return the directions in which the clips can be searched with a query, such as `audio_to_video`."""
        return [
            f"{source}_to_{target}"
            for source in query.embeddings
            for target in self.searchers
            if source == target or self.model.module.cross_modal
        ]

    def nearest(self, embedding: np.ndarray, direction: str, k: int = 10) -> list[Hit]:
        """Return the k clips nearest to an embedding (dim,), best first.

        direction: from the embedding's modality to that of the clips, such as `audio_to_video`.
        """
        source, target = direction.split("_to_")
        searcher = self.searchers[target]
        if source == target or self.model.module.by_distance:
            [rows], [scores] = searcher.search(embedding[None], k)
        else:  # the index cannot rank by a matcher that is no distance: score every clip
            rows, scores = self._rank_by_matcher(embedding, searcher.vectors, source, k)
        # FAISS returns row -1 where it finds fewer than k.
        return [
            self._create_hit(int(row), float(score))
            for row, score in zip(rows, scores, strict=True)
            if row >= 0
        ]

    def _rank_by_matcher(
        self, embedding: np.ndarray, clip_embeddings: np.ndarray, source: str, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score an embedding (dim,) of the modality `source` with those of all clips, (n, dim).

        Returns the rows and the scores of the k best clips, (k,) each, best first.
        """
        if source == "audio":
            scores = self.model.scores(embedding[None], clip_embeddings).ravel()
        else:
            scores = self.model.scores(clip_embeddings, embedding[None]).ravel()
        rows = np.argsort(-scores, kind="stable")[:k]
        return rows, scores[rows]

    def _create_hit(self, row: int, score: float) -> Hit:
        clip = self.clips[row]
        return Hit(clip["clip_id"], score, clip["labels"] or [], clip["split"], row)
