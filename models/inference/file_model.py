"""A trained model that takes files: sounds, pictures and videos, read as in training.

model = load("dist/instruments")
model.embed("bell.wav")["audio"]  # (dim,)
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoint import Model
from models.inference import decode
from models.inference.classify import probabilities
from models.inference.decode import DecodedFile, Reader
from models.inference.index import sides
from pipeline.errors import UserError

KINDS = {"audio": "sound", "video": "picture"}


class FileModel:
    """A model, and the function that reads files for it.

    read: as `decode.read`. A parameter `file` is a path, or a result of `read_and_embed`: the file is not
    read again then.
    """

    def __init__(self, model: Model, read: Reader = decode.read) -> None:
        self.model, self.read = model, read

    @property
    def config(self) -> dict[str, Any]:
        return self.model.config

    def read_and_embed(self, file: str | Path | DecodedFile, start: float = 0.0) -> DecodedFile:
        """Read a file from `start` (s) on, and embed its middle window.

        file: a path, or a result of `read`. Raises UserError if the model can use nothing in the file.
        """
        decoded = self._read_checked(file, start)
        decoded.embeddings |= {side: x[0] for side, x in self._embed_decoded(decoded).items()}
        return decoded

    def embed(self, file: str | Path | DecodedFile, start: float = 0.0) -> dict[str, np.ndarray]:
        """Embed the middle window of a file.

        Returns "audio" and "video" -> (dim,) of length 1, without a side that the file lacks; "both" for a
        model that embeds both sides as one vector.
        """
        return self._ensure_embedded(file, start).embeddings

    def embed_along(
        self, path: str | Path, every: float, longest: float = np.inf
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Embed windows along the first `longest` s of a file.

        Returns the times (n,) at which windows begin, one each `every` s, and "audio", "video" -> (n, dim).
        The picture of a window is the one nearest to its middle. A row is NaN if that side is missing; a
        side that the whole file lacks has no key.
        """
        return self.embed_parts(decode.read_parts(self.read, self.config, path, every, longest), every)

    def embed_parts(
        self, parts: Iterable[tuple[float, DecodedFile]], every: float
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Embed windows as `embed_along`, from the parts of a file that decode.read_parts yields."""
        times: list[float] = []
        side_blocks: dict[str, list[np.ndarray]] = {}
        for start, decoded in parts:
            self._check(decoded)
            starts = decode.window_starts(self.config, decoded.seconds, every, is_first=start == 0)
            if not starts:
                continue
            for side, vectors in self._embed_decoded(decoded, starts).items():
                blocks = side_blocks.setdefault(side, [])
                _pad(blocks, len(times), vectors.shape[1])
                blocks.append(vectors)
            times += [start + s for s in starts]
        for blocks in side_blocks.values():
            _pad(blocks, len(times), blocks[0].shape[1])
        return np.array(times), {side: np.concatenate(blocks) for side, blocks in side_blocks.items()}

    def score(self, sound: str | Path | DecodedFile, picture: str | Path | DecodedFile) -> float:
        """Return the logit of a sound and a picture: above 0, they more likely match than not.

        Raises UserError if the model cannot compare the two, or one of them is missing.
        """
        audio, video = self._embed_pair(sound, picture)
        return float(self.model.score(audio[None], video[None])[0])

    def localize(
        self, sound: str | Path | DecodedFile, picture: str | Path | DecodedFile
    ) -> np.ndarray | None:
        """Return the probabilities (h, w) that the sound is at each position of the picture.

        None if the model does not localize sounds.
        """
        if not self.model.module.has_map:
            return None
        audio, video = self._embed_pair(sound, picture)
        return self.model.maps(audio[None], video[None])[0].reshape(self.model.module.video.map)

    def classify(
        self, file: str | Path | DecodedFile, by: str | None = None, start: float = 0.0
    ) -> list[tuple[str, float]]:
        """Return each class with its probability, the most probable first. by: "audio" or "video" alone.

        Raises UserError if the model is no classifier, or the file lacks the side to classify by.
        """
        if not self.model.module.classes:
            raise UserError(f"the model's task is {self.config['task']}: it has no classes")
        decoded = self._read_checked(file, start)
        modality = self.config["modality"]
        model_sides = [side for side in KINDS if modality in (side, "both")]
        usable = [side for side in model_sides if side not in decoded.missing and by in (side, None)]
        if not usable:
            side = by or model_sides[0]
            why = decoded.missing.get(side) or f"the model does not read {KINDS[side]}s"
            raise UserError(f"{decoded.name}: cannot be classified by its {KINDS[side]}: {why}")
        blank = next((side for side in model_sides if side not in usable), None)
        class_probabilities = probabilities(self.model, decoded.data, np.array([0]), blank)[0]
        order = np.argsort(-class_probabilities, kind="stable")
        return [(self.config["classes"][i], float(class_probabilities[i])) for i in order]

    # --- helpers ----------------------------------------------------------------------------------------

    def _read_checked(self, file: str | Path | DecodedFile, start: float) -> DecodedFile:
        return self._check(file if isinstance(file, DecodedFile) else self.read(self.config, file, start))

    def _check(self, decoded: DecodedFile) -> DecodedFile:
        """Mark the sides that the model does not read as missing. Raises UserError if no side remains."""
        model_sides = set(KINDS) if self.config["modality"] == "both" else {self.config["modality"]}
        for side in KINDS:
            if side not in model_sides:
                decoded.missing.setdefault(side, f"the model does not read {KINDS[side]}s")
        if len(decoded.missing) == 2:
            why = "; ".join(dict.fromkeys(decoded.missing.values()))
            raise UserError(f"{decoded.name}: neither sound nor picture: {why}")
        return decoded

    def _embed_decoded(
        self, decoded: DecodedFile, starts: list[float] | None = None
    ) -> dict[str, np.ndarray]:
        """Embed windows, as of DecodedFile.positions: side -> (n, dim), without missing sides."""
        if sides(self.model) == ["both"] and decoded.missing:
            side, why = next(iter(decoded.missing.items()))
            raise UserError(
                f"{decoded.name}: the model embeds sound and picture as one: no {KINDS[side]}: {why}"
            )
        positions = decoded.positions(starts)
        embeddings = self.model.embed(decoded.data, np.zeros(len(positions), int), positions)
        # A model of one modality returns the same array twice: `sides` has one name then.
        pairs = zip(sides(self.model), embeddings, strict=False)
        return {side: vectors for side, vectors in pairs if side not in decoded.missing}

    def _ensure_embedded(self, file: str | Path | DecodedFile, start: float = 0.0) -> DecodedFile:
        return file if isinstance(file, DecodedFile) and file.embeddings else self.read_and_embed(file, start)

    def _embed_pair(
        self, sound: str | Path | DecodedFile, picture: str | Path | DecodedFile
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed a sound and a picture, (dim,) each. Raises UserError if the model cannot compare them."""
        if not self.model.module.cross_modal:
            raise UserError("the model does not compare sounds with pictures: train one with task: matching")
        if self.config["modality"] != "both":
            raise UserError(f"the model reads {KINDS[self.config['modality']]}s only")
        embeddings = []
        for side, decoded in (
            ("audio", self._ensure_embedded(sound)),
            ("video", self._ensure_embedded(picture)),
        ):
            if side not in decoded.embeddings:
                raise UserError(f"{decoded.name}: no {KINDS[side]}: {decoded.missing[side]}")
            embeddings.append(decoded.embeddings[side])
        return embeddings[0], embeddings[1]


def _pad(blocks: list[np.ndarray], count: int, dim: int) -> None:
    """Append rows of NaN so that the blocks have `count` rows."""
    if missing := count - sum(map(len, blocks)):
        blocks.append(np.full((missing, dim), np.nan, np.float32))
