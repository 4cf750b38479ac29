"""A trained model that takes files: sounds, images and videos, decoded as in training.

model = load("dist/instruments")
model.embed("bell.wav")["audio"]  # (dim,)
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoint import Model
from models.inference import decode
from models.inference.classify import probabilities
from models.inference.decode import SIDE_NAMES, DecodedFile
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError


class FileModel:
    """A trained model that takes files.

    Where a method takes a file, this is a path, or a DecodedFile that `read_and_embed` returned: that one is
    not decoded again. `start` is where in the file to begin, in seconds; it has no effect on a DecodedFile.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def config(self) -> dict[str, Any]:
        """The content of the model's config.json."""
        return self.model.config

    def read_and_embed(self, file: str | Path | DecodedFile, start: float = 0.0) -> DecodedFile:
        """Decode a file from `start` (seconds) on, and embed its middle window.

        Raises UserError if the file has neither a sound nor a picture that the model reads.
        """
        decoded = self._decode_usable(file, start)
        for name, vectors in self._embed_windows(decoded).items():
            decoded.embeddings[name] = vectors[0]
        return decoded

    def embed(self, file: str | Path | DecodedFile, start: float = 0.0) -> dict[str, np.ndarray]:
        """Embed the middle window of a file, from `start` (seconds) on.

        Returns "audio" and "video" -> (dim,) of length 1, without a side that the file lacks. A model that
        embeds sound and picture as one vector returns it under the name "both".
        """
        return self._ensure_embedded(file, start).embeddings

    def embed_along(
        self, path: str | Path, hop_seconds: float, max_seconds: float = np.inf
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Embed a window every `hop_seconds`, along the first `max_seconds` of a file.

        Returns the times (n,) at which the windows begin, in seconds, and "audio", "video" or "both" ->
        (n, dim). The picture of a window is the one nearest to its middle. Where a side is missing, its rows
        are NaN; a side that the whole file lacks has no key.
        """
        decode_from = partial(decode.decode_file, self.config, path)
        parts = decode.decode_parts(decode_from, self.config, hop_seconds, max_seconds)
        return self.embed_parts(parts, hop_seconds)

    def embed_parts(
        self, parts: Iterable[tuple[float, DecodedFile]], hop_seconds: float
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Embed a window every `hop_seconds` of a file that is decoded already.

        parts: the results of decode.decode_parts: the start of each part in seconds, and the part.
        Returns the times (n,) at which the windows begin, in seconds, and "audio", "video" or "both" ->
        (n, dim), NaN where a side is missing; a side that the whole file lacks has no key.
        """
        times: list[float] = []
        blocks_by_name: dict[str, list[np.ndarray]] = {}  # name of an embedding -> its rows, part by part
        for part_start, decoded in parts:
            self._require_usable_side(decoded)
            starts = decode.window_starts(
                self.config, decoded.seconds, hop_seconds, is_first_part=part_start == 0
            )
            if not starts:
                continue
            for name, vectors in self._embed_windows(decoded, starts).items():
                blocks = blocks_by_name.setdefault(name, [])
                _pad_with_nan(blocks, len(times), vectors.shape[1])  # earlier parts without this side
                blocks.append(vectors)
            times += [part_start + start for start in starts]
        for blocks in blocks_by_name.values():
            _pad_with_nan(blocks, len(times), blocks[0].shape[1])  # last parts without this side
        return np.array(times), {name: np.concatenate(blocks) for name, blocks in blocks_by_name.items()}

    def score(self, audio: str | Path | DecodedFile, video: str | Path | DecodedFile) -> float:
        """Return the logit that a sound and a picture belong together: above 0, they more likely do than not.

        audio: the file with the sound. video: the file with the picture, an image or a video.
        Raises UserError if the model cannot compare the two, or one of them is missing.
        """
        audio_embedding, video_embedding = self._embed_pair(audio, video)
        return float(self.model.score(audio_embedding[None], video_embedding[None])[0])

    def localize(self, audio: str | Path | DecodedFile, video: str | Path | DecodedFile) -> np.ndarray | None:
        """Return for each position of a picture the probability that the sound is there, (height, width).

        audio: the file with the sound. video: the file with the picture, an image or a video.
        Returns None if the model does not localize sounds.
        """
        if not self.model.module.has_map:
            return None
        audio_embedding, video_embedding = self._embed_pair(audio, video)
        [probability_map] = self.model.maps(audio_embedding[None], video_embedding[None])
        return probability_map.reshape(self.model.module.video.map)

    def classify(
        self, file: str | Path | DecodedFile, by: str | None = None, start: float = 0.0
    ) -> list[tuple[str, float]]:
        """Return each class with its probability, the most probable first.

        by: "audio" or "video", to classify by this side of the file alone; None: by all that the file has.
        start: where in the file to begin, in seconds.
        Raises UserError if the model is no classifier, or the file lacks the side to classify by.
        """
        if not self.model.module.classes:
            raise UserError(f"the model's task is {self.config['task']}: it has no classes")
        decoded = self._decode_usable(file, start)
        model_sides = self._model_sides
        usable = [side for side in model_sides if side not in decoded.missing and by in (side, None)]
        if not usable:
            side = by or model_sides[0]
            why = decoded.missing.get(side) or f"the model does not read {SIDE_NAMES[side]}s"
            raise UserError(f"{decoded.name}: cannot be classified by its {SIDE_NAMES[side]}: {why}")
        blank = next((side for side in model_sides if side not in usable), None)  # the side to leave out
        # The data set of a DecodedFile has one clip, with the number 0.
        [class_probabilities] = probabilities(self.model, decoded.data, np.array([0]), blank)
        order = np.argsort(-class_probabilities, kind="stable")
        return [(self.config["classes"][i], float(class_probabilities[i])) for i in order]

    # --- helpers ----------------------------------------------------------------------------------------

    @property
    def _model_sides(self) -> list[str]:
        """The sides of a file that the model reads: "audio", "video", or both of them."""
        return [side for side in SIDE_NAMES if self.config["modality"] in (side, "both")]

    def _decode_usable(self, file: str | Path | DecodedFile, start: float) -> DecodedFile:
        """Decode a file, unless that is done already. Raises UserError if the model can use no side of it."""
        decoded = file if isinstance(file, DecodedFile) else decode.decode_file(self.config, file, start)
        self._require_usable_side(decoded)
        return decoded

    def _require_usable_side(self, decoded: DecodedFile) -> None:
        """Mark the sides that the model does not read as missing. Raises UserError if no side remains."""
        for side in SIDE_NAMES:
            if side not in self._model_sides:
                decoded.missing.setdefault(side, f"the model does not read {SIDE_NAMES[side]}s")
        if len(decoded.missing) == 2:
            why = "; ".join(dict.fromkeys(decoded.missing.values()))
            raise UserError(f"{decoded.name}: neither sound nor picture: {why}")

    def _embed_windows(
        self, decoded: DecodedFile, starts: list[float] | None = None
    ) -> dict[str, np.ndarray]:
        """Embed the windows of a file that begin at `starts` (seconds); None: only the middle window.

        Returns "audio", "video" or "both" -> (n, dim), without missing sides.
        """
        names = self.model.module.embedding_names
        if names == ("both",) and decoded.missing:
            side, why = next(iter(decoded.missing.items()))
            raise UserError(
                f"{decoded.name}: the model embeds sound and picture as one: no {SIDE_NAMES[side]}: {why}"
            )
        positions = decoded.window_positions(starts)
        if names == ("both",):
            # All windows are of the one clip of the data set, which has the number 0.
            return {"both": self.model.embed(decoded.data, np.zeros(len(positions), int), positions)[0]}
        return {
            side: self._embed_side(side, decoded.data, positions)
            for side in names
            if side not in decoded.missing
        }

    def _embed_side(self, side: str, data: Dataset, positions: np.ndarray) -> np.ndarray:
        """Embed the sound ("audio") or the picture ("video") of windows of the clip of `data`, (n, dim).

        positions: of the windows, (n,). The network of the other side, which may cost much more, is not run.
        """
        model = self.model
        embed = {"audio": model.module.embed_audio, "video": model.module.embed_video}[side]

        def embed_batch(batch: slice) -> np.ndarray:
            clips = np.zeros(len(positions[batch]), int)
            audio, video = data.read(clips, positions[batch], features=model.features, sides=(side,))
            return model.compute(embed, audio if side == "audio" else video).float().cpu().numpy()

        return np.concatenate(list(model.batch_size.map(embed_batch, len(positions))))

    def _ensure_embedded(self, file: str | Path | DecodedFile, start: float = 0.0) -> DecodedFile:
        """Decode and embed a file, unless that is done already."""
        if isinstance(file, DecodedFile) and file.embeddings:
            return file
        return self.read_and_embed(file, start)

    def _embed_pair(
        self, audio: str | Path | DecodedFile, video: str | Path | DecodedFile
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed the sound of one file and the picture of another, (dim,) each.

        Raises UserError if the model cannot compare them, or one of them is missing.
        """
        if not self.model.module.cross_modal:
            raise UserError("the model does not compare sounds with pictures: train one with task: matching")
        if self.config["modality"] != "both":
            raise UserError(f"the model reads {SIDE_NAMES[self.config['modality']]}s only")
        files = {"audio": self._ensure_embedded(audio), "video": self._ensure_embedded(video)}
        for side, decoded in files.items():
            if side not in decoded.embeddings:
                raise UserError(f"{decoded.name}: no {SIDE_NAMES[side]}: {decoded.missing[side]}")
        return files["audio"].embeddings["audio"], files["video"].embeddings["video"]


def _pad_with_nan(blocks: list[np.ndarray], n_rows: int, dim: int) -> None:
    """Append a block of NaN, (rows, dim), so that all blocks together have `n_rows` rows."""
    if n_missing := n_rows - sum(map(len, blocks)):
        blocks.append(np.full((n_missing, dim), np.nan, np.float32))
