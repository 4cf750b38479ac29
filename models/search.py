"""Which clips are nearest to a sound, a picture or a video.

`Library.open()` in a project where `dvc repro` has run; `query` takes any file, `nearest` any embeddings.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from models import checkpoint
from models.checkpoint import Model
from models.index import indexed, sides
from pipeline import vectors
from pipeline.dataset import MIDDLE, Dataset
from pipeline.errors import UserError
from pipeline.faces import FacesStep
from pipeline.frames import FramesStep
from pipeline.media import Media
from pipeline.outcome import Outcome
from pipeline.shards import read_table
from pipeline.spectrogram import SpectrogramStep
from pipeline.wav import WavStep

KINDS = {"audio": "sound", "video": "picture"}


@dataclass
class Hit:
    """A clip that was found.

    score: the cosine of the embeddings; the matcher's logit where the matcher is no distance.
    """

    clip_id: str
    score: float
    labels: list[str]
    split: str


@dataclass
class Query:
    """A file as the model sees it: embeddings (dim,) of what is in it, and why there is no other."""

    name: str
    embeddings: dict[str, np.ndarray]
    missing: dict[str, str]
    wav: bytes | None = None
    image: np.ndarray | None = None


class Library:
    """A model, and all clips of an index."""

    def __init__(self, model: Model, clips: list[dict], searchers: dict[str, vectors.Searcher]) -> None:
        self.model, self.clips, self.searchers = model, clips, searchers

    @classmethod
    def open(cls, root: str | Path = ".") -> "Library":
        """Of the project in `root`. Raises UserError where the stages train and index have not been run."""
        root = Path(root)
        model = checkpoint.load(root / "checkpoints")
        folder = root / "data/embeddings"
        try:
            clips = read_table(folder / "clips.parquet").to_pylist()
            stored = {side: np.load(folder / f"{side}.npy", mmap_mode="r") for side in indexed(model)}
        except (OSError, ValueError) as e:
            raise UserError(f"{folder}: no embeddings there ({e}): run dvc repro index") from None
        found = {side: vectors.load(root / f"data/index/{side}.faiss", v) for side, v in stored.items()}
        return cls(model, clips, found)

    def query(self, path: str | Path, start: float = 0.0) -> Query:
        """A sound, picture or video file, decoded as the pipeline does: `clip_seconds` from `start` (s).

        Raises UserError where nothing in it can be used.
        """
        inputs = self.model.config["inputs"]
        audio, video = (SimpleNamespace(**inputs[name]) for name in ("audio", "video"))
        clip, seconds = {"start": start, "end": None}, inputs["clip_seconds"]
        media = Media(str(path), str(path))
        made: dict[str, Outcome] = {}
        [wav] = WavStep(audio, seconds)([clip], [media])
        hear, see = SpectrogramStep(audio, seconds), self._pictures(video, seconds)
        [made["audio"]] = hear([clip], [wav.value]) if wav.value else [wav]
        [made["video"]] = see([clip], [media])
        query = Query(Path(path).name, {}, {}, wav.value)
        for side, outcome in made.items():
            if outcome.value is None:
                query.missing[side] = outcome.detail
            elif side not in sides(self.model):
                query.missing[side] = f"the model knows no {KINDS[side]}s"
        usable = [side for side in made if side not in query.missing]
        if not usable:
            raise UserError(
                f"{path}: neither sound nor picture: {'; '.join(dict.fromkeys(query.missing.values()))}"
            )
        windows = _one(made, hear.shape, see.shape, audio, video).read(np.array([0]), MIDDLE)
        for side, window in zip(("audio", "video"), windows, strict=True):
            if side in usable:
                embed = self.model.embed_audio if side == "audio" else self.model.embed_video
                query.embeddings[side] = embed(window)[0]
        if made["video"].value is not None:
            query.image = made["video"].value[len(made["video"].value) // 2]
        return query

    def _pictures(self, video: Any, seconds: float) -> FramesStep | FacesStep:
        """What makes a picture of a file: whole frames, or the face in them."""
        if self.model.config["input"] == "frame":
            return FramesStep(video, seconds)
        faces = SimpleNamespace(**self.model.config["inputs"]["faces"])
        return FacesStep(faces, seconds, {"middle": 1, "every": video.frames}[faces.frames])

    def directions(self, query: Query) -> list[str]:
        """In which `query` can be asked, as `audio_to_video`."""
        return [
            f"{source}_to_{target}"
            for source in query.embeddings
            for target in self.searchers
            if source == target or self.model.module.across
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
        found = [(self.clips[row], float(s)) for row, s in zip(rows, scores, strict=True) if row >= 0]
        return [Hit(clip["clip_id"], s, clip["labels"] or [], clip["split"]) for clip, s in found]


def _one(made: dict[str, Outcome], heard: tuple, seen: tuple, audio: Any, video: Any) -> Dataset:
    """A data set of one file, so that its window is cut as those of the data are; what it lacks is zeros."""
    empty = {"audio": np.zeros(heard, np.float16), "video": np.zeros(seen, np.uint8)}
    held = {side: made[side].value if made[side].value is not None else empty[side] for side in made}
    seconds = {side: made[side].extra.get("seconds", np.inf) for side in made}
    window = audio.window_seconds
    times = made["video"].extra.get("times", list(np.linspace(0, 1, seen[0])))
    return Dataset(
        clip_id=["query"],
        split=np.array(["test"]),
        group=np.array(["query"]),
        columns={"labels": [[]], "subject": [None]},
        seconds=np.array([min(seconds.values()) if seconds["video"] >= window else seconds["audio"]]),
        times=np.array([times]),
        audio=_Held(held["audio"]),
        video=_Held(held["video"]),
        sample_rate=audio.sample_rate,
        hop_length=audio.hop_length,
        window=max(round(window * audio.sample_rate / audio.hop_length), 1),
        window_frames=video.window_frames,
        digest="",
    )


@dataclass
class _Held:
    """One array where the data set has shards."""

    array: np.ndarray

    def value(self, _: int) -> np.ndarray:
        return self.array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype
