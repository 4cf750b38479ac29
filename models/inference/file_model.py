"""A trained model that is asked with files: sounds, pictures and videos, read as in training.

model = load("dist/instruments")
model.embed("bell.wav")["audio"]  # (dim,)
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoint import Model
from models.inference import query as given
from models.inference.classify import probabilities
from models.inference.index import sides
from models.inference.query import Query, Reader
from pipeline.errors import UserError

KINDS = {"audio": "sound", "video": "picture"}


class FileModel:
    """A model and a way to read files for it.

    read: as `query.read`. Wherever a file is asked for, its path will do, or what the method `query` made of
    it.
    """

    def __init__(self, model: Model, read: Reader = given.read) -> None:
        self.model, self.read = model, read

    @property
    def config(self) -> dict[str, Any]:
        return self.model.config

    def query(self, file: str | Path | Query, start: float = 0.0) -> Query:
        """A file from `start` (s) on, with the embeddings of its middle window.

        file: a path, or what `read` made of one. Raises UserError where nothing in it can be used.
        """
        query = self._check(file) if isinstance(file, Query) else self._known(file, start)
        query.embeddings |= {side: x[0] for side, x in self._embedded(query).items()}
        return query

    def embed(self, file: str | Path | Query, start: float = 0.0) -> dict[str, np.ndarray]:
        """Of each of "audio" and "video" that is in the file, (dim,) of length 1, of the middle window.

        Of a model that reads both as one: "both".
        """
        return self._asked(file, start).embeddings

    def along(
        self, path: str | Path, every: float, longest: float = np.inf
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The times (n,) at which windows begin, each `every` s, and "audio", "video" -> (n, dim).

        Of the first `longest` s of a file. A window's picture is the one nearest to its middle. What is
        missing in a part of the file is NaN there; a sound without pictures has no "video".
        """
        return self.along_parts(given.parts(self.read, self.config, path, every, longest), every)

    def along_parts(
        self, parts: Iterable[tuple[float, Query]], every: float
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """`along`, of what models.inference.query.parts gives."""
        times: list[float] = []
        found: dict[str, list[np.ndarray]] = {}
        for start, query in parts:
            self._check(query)
            starts = given.starts(self.config, query.seconds, every, first=start == 0)
            if not starts:
                continue
            for side, vectors in self._embedded(query, starts).items():
                blocks = found.setdefault(side, [])
                if len(times) > (known := sum(map(len, blocks))):
                    blocks.append(np.full((len(times) - known, vectors.shape[1]), np.nan, np.float32))
                blocks.append(vectors)
            times += [start + s for s in starts]
        for blocks in found.values():
            if short := len(times) - sum(map(len, blocks)):
                blocks.append(np.full((short, blocks[0].shape[1]), np.nan, np.float32))
        return np.array(times), {side: np.concatenate(blocks) for side, blocks in found.items()}

    def score(self, sound: str | Path | Query, picture: str | Path | Query) -> float:
        """The logit of a sound and a picture: above 0 is more likely a match than not.

        Raises UserError where the model cannot compare the two, or one of them is missing.
        """
        audio, video = self._pair(sound, picture)
        return float(self.model.score(audio[None], video[None])[0])

    def where(self, sound: str | Path | Query, picture: str | Path | Query) -> np.ndarray | None:
        """Where in the picture the sound is: probabilities (h, w); None of a model that cannot tell."""
        if not self.model.module.has_map:
            return None
        audio, video = self._pair(sound, picture)
        return self.model.maps(audio[None], video[None])[0].reshape(self.model.module.video.map)

    def classify(
        self, file: str | Path | Query, by: str | None = None, start: float = 0.0
    ) -> list[tuple[str, float]]:
        """Each class with its probability, the likeliest first. by: "audio" or "video" alone.

        Raises UserError where the model is no classifier, or the file has not what it is to be told by.
        """
        if not self.model.module.classes:
            raise UserError(f"the model's task is {self.config['task']}: it tells no classes")
        query = self._check(file) if isinstance(file, Query) else self._known(file, start)
        modality = self.config["modality"]
        knows = [side for side in KINDS if modality in (side, "both")]
        here = [side for side in knows if side not in query.missing and by in (side, None)]
        if not here:
            why = query.missing.get(by or knows[0]) or f"the model knows no {KINDS[by or knows[0]]}s"
            raise UserError(f"{query.name}: cannot be told by its {KINDS[by or knows[0]]}: {why}")
        blank = next((side for side in knows if side not in here), None)
        found = probabilities(self.model, query.data, np.array([0]), blank)[0]
        return [(self.config["classes"][i], float(found[i])) for i in np.argsort(-found, kind="stable")]

    # --- ---------------------------------------------------------------------------------------------

    def _known(self, path: str | Path, start: float) -> Query:
        return self._check(self.read(self.config, path, start))

    def _check(self, query: Query) -> Query:
        """Note what the model does not know. Raises UserError where nothing of the file remains."""
        knows = set(KINDS) if self.config["modality"] == "both" else {self.config["modality"]}
        for side in KINDS:
            if side not in knows:
                query.missing.setdefault(side, f"the model knows no {KINDS[side]}s")
        if len(query.missing) == 2:
            why = "; ".join(dict.fromkeys(query.missing.values()))
            raise UserError(f"{query.name}: neither sound nor picture: {why}")
        return query

    def _embedded(self, query: Query, starts: list[float] | None = None) -> dict[str, np.ndarray]:
        """Windows, as of Query.places, to (n, dim) of each side that is there."""
        if sides(self.model) == ["both"] and query.missing:
            side, why = next(iter(query.missing.items()))
            raise UserError(
                f"{query.name}: the model reads sound and picture as one: no {KINDS[side]}: {why}"
            )
        at = query.places(starts)
        found = self.model.embed(query.data, np.zeros(len(at), int), at)
        known = zip(sides(self.model), found, strict=False)  # of one modality: twice the same
        return {side: vectors for side, vectors in known if side not in query.missing}

    def _asked(self, file: str | Path | Query, start: float = 0.0) -> Query:
        return file if isinstance(file, Query) and file.embeddings else self.query(file, start)

    def _pair(self, sound: str | Path | Query, picture: str | Path | Query) -> tuple[np.ndarray, np.ndarray]:
        if not self.model.module.cross_modal:
            raise UserError("the model does not bring sounds near pictures: train one with task: matching")
        if self.config["modality"] != "both":
            raise UserError(f"the model knows {KINDS[self.config['modality']]}s alone")
        found = []
        for side, query in (("audio", self._asked(sound)), ("video", self._asked(picture))):
            if side not in query.embeddings:
                raise UserError(f"{query.name}: no {KINDS[side]}: {query.missing[side]}")
            found.append(query.embeddings[side])
        return found[0], found[1]
