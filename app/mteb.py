"""Evaluate a trained model on tasks of mteb: `python -m app.mteb --tasks GreatestHitsA2VRetrieval`.

Sounds, images and videos are decoded as in training. The results are files as mteb writes them, in its cache
or in --out. A task that has a result there is not run again.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np

from models import hub
from models.checkpoint import Model
from models.device import CPU, choose_device
from models.inference import decode
from models.inference.decode import SIDE_NAMES, DecodedFile
from models.inference.file_model import FileModel
from models.inference.words import embed_texts, text_side
from models.places import MODEL
from models.sharing.load import load
from pipeline.cli import run
from pipeline.errors import UserError, explain_disk_error
from pipeline.media.files import Media
from pipeline.media.wav import write_wav

# Modality of mteb, which is also the name of its column -> the side of a model that reads it.
MEDIA_SIDES = {"audio": "audio", "image": "video", "video": "video"}


class MtebModel:
    """A trained model with mteb's protocol of encoders (EncoderProtocol), for `mteb.evaluate`.

    place, revision: as in models.sharing.load.load. device: `cpu` or `cuda`; None: a GPU if there is one.
    hop_seconds: embed a clip as the mean of windows, one every `hop_seconds`; None: as its middle window.
    Raises UserError if there is no such model.
    """

    def __init__(
        self,
        place: str,
        revision: str | None = None,
        *,
        device: str | None = None,
        hop_seconds: float | None = None,
    ) -> None:
        self.file_model, self.hop_seconds = load(place, revision), hop_seconds
        if (device := choose_device(device)) != CPU:
            model = self.file_model.model
            self.file_model = FileModel(Model(model.module, model.config, device))
        self.model, config = self.file_model.model, self.file_model.config
        # Modality of mteb that the model reads -> side of the model.
        self.sides = {
            name: side for name, side in MEDIA_SIDES.items() if config["modality"] in (side, "both")
        }
        if side := text_side(self.model):
            self.sides["text"] = side
        audio = config["inputs"]["audio"]
        column_seconds = audio["hop_length"] / audio["sample_rate"]
        if hop_seconds is not None and hop_seconds < column_seconds:
            raise UserError(
                f"--every {hop_seconds:g}: a column of the model's features is {column_seconds:g} s"
            )
        self.mteb_model_meta = self._describe(place)

    def _describe(self, place: str) -> Any:
        """Return mteb's metadata of the model (ModelMeta). Its revision is the digest of the weights."""
        model_meta = import_mteb().models.ModelMeta
        is_hub_name = hub.REPO.fullmatch(place) and not Path(place).exists()
        n_parameters = sum(weights.numel() for weights in self.model.module.parameters())
        no_sounds = np.empty((0, *self.file_model.config["audio_shape"]), np.float32)
        return model_meta(
            loader=type(self),
            name=place if is_hub_name else f"earsight/{Path(place).resolve().name}",
            revision=self.file_model.config["weights_digest"],
            release_date=None,
            languages=None,
            n_parameters=n_parameters,
            memory_usage_mb=round(n_parameters * 4 / 2**20, 3),
            max_tokens=None,
            embed_dim=self.model.embed_audio(no_sounds).shape[1],
            license=None,
            open_weights=None,
            public_training_code=None,
            public_training_data=None,
            framework=["PyTorch", "safetensors"],
            similarity_fn_name="cosine",
            use_instructions=False,
            training_datasets=None,
            modalities=list(self.sides),
            experiment_kwargs=self.hop_seconds and {"hop_seconds": self.hop_seconds},
        )

    def require_readable(self, task: Any) -> None:
        """Raise UserError if the model cannot read or compare what a task has.

        task: the metadata of the task (TaskMetadata).
        """
        if missing := [name for name in task.modalities if name not in self.sides]:
            raise UserError(
                f"{task.name}: a task with {', '.join(missing)}: the model reads {', '.join(self.sides)}:"
                " choose another task, or another model"
            )
        module = self.model.module
        is_cross_modal = len({self.sides[name] for name in task.modalities}) == 2
        if is_cross_modal and module.embedding_names != ("both",) and not module.by_distance:
            raise UserError(
                f"{task.name}: mteb compares by cosine, and this model does not compare sounds with pictures"
                " so: choose another task, or train with task: matching and matcher: distance"
            )

    def encode(self, inputs: Any, *, task_metadata: Any, hf_split: str, **options: Any) -> np.ndarray:
        """Embed the rows of a data set, (rows, dim) float32, each of length 1.

        inputs: a DataLoader. Only its data set is read: the loader decodes media with torchcodec, and not as
        in training. options: mteb's further ones, for prompts and batches, which the model has no use for.
        A row of several modalities has the sum of their embeddings, scaled to length 1.
        Raises UserError if the model cannot read the task, or a row cannot be decoded.
        """
        self.require_readable(task_metadata)
        names = [name for name in self.sides if name in inputs.dataset.column_names]
        dataset = inputs.dataset.select_columns(names)
        for name, feature in dataset.features.items():
            if name in MEDIA_SIDES and hasattr(feature, "decode"):  # Audio, Image, Video of `datasets`
                dataset = dataset.cast_column(name, type(feature)(decode=False))
        embeddings = []
        with TemporaryDirectory() as folder:
            for number, row in enumerate(dataset):
                try:
                    embeddings.append(self._embed_row(row, Path(folder)))
                except UserError as e:
                    message = str(e).replace(f"{folder}/", "")
                    raise UserError(f"{task_metadata.name}, {hf_split}, row {number}: {message}") from None
        sums = np.stack(embeddings)
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)

    def _embed_row(self, row: dict[str, Any], folder: Path) -> np.ndarray:
        """Return the sum of the embeddings of what a row has, (dim,). folder: for files. Raises UserError."""
        values = {name: value for name, value in row.items() if value is not None}
        vectors = []
        if "text" in values:
            vectors += [*embed_texts(self.model, [values.pop("text")])[1]]
        if values:
            paths = {MEDIA_SIDES[name]: _to_file(value, folder / name) for name, value in values.items()}
            vectors += self._embed_media(Media(paths.get("audio"), paths.get("video")))
        if not vectors:
            raise UserError(f"has none of {', '.join(self.sides)}")
        return sum(vectors[1:], start=vectors[0])

    def _embed_media(self, media: Media) -> list[np.ndarray]:
        """Embed the sound and the picture of a clip, (dim,) each. Raises UserError if one is not readable."""
        config = self.file_model.config

        def decode_from(start: float = 0.0) -> DecodedFile:
            decoded = decode.decode_file(config, media, start)
            for side, reason in decoded.missing.items():
                if getattr(media, side) is not None and not start:
                    raise UserError(f"no {SIDE_NAMES[side]}: {reason}")
            return decoded

        if self.hop_seconds is None:
            return list(self.file_model.embed(decode_from()).values())
        parts = decode.decode_parts(decode_from, config, self.hop_seconds)
        means = [
            np.nanmean(x, axis=0) for x in self.file_model.embed_parts(parts, self.hop_seconds)[1].values()
        ]
        return [mean / np.linalg.norm(mean) for mean in means]

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines (m, n) of embeddings (m, dim) with embeddings (n, dim)."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines (n,) of pairs of embeddings, (n, dim) each."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)


def _to_file(value: Any, path: Path) -> str:
    """Return the path of a file with a sound, an image or a video of a data set; `path` if it is in memory.

    value: of a column Audio, Image or Video that is not decoded, or samples as mteb passes them.
    """
    match value:
        case {"bytes": bytes(content)}:
            path.write_bytes(content)
        case {"path": str(file)}:
            return file
        case {"array": array, "sampling_rate": int(rate)}:
            samples = np.asarray(array, np.float32)
            mono = samples if samples.ndim == 1 else samples.mean(axis=0)  # (channels, time)
            path.write_bytes(write_wav((mono.clip(-1, 1) * np.iinfo(np.int16).max).astype(np.int16), rate))
        case _:
            raise UserError(f"{path.name}: is a {type(value).__name__}, and not a file or samples of a sound")
    return str(path)


def import_mteb() -> ModuleType:
    """Import mteb, which takes seconds. Raises UserError if it is not installed."""
    try:
        import mteb
    except ImportError as e:
        raise UserError(f"mteb cannot be imported ({e}): uv pip install mteb") from None
    return mteb


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or `arguments` instead of it."""
    summary, details = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(prog="python -m app.mteb", description=summary, epilog=details)
    add = parser.add_argument
    add("--tasks", nargs="+", required=True, metavar="NAME", help="names of tasks, as mteb lists them")
    add("--model", default=MODEL, help=f"a folder, project, Git URL or user/name on Hugging Face ({MODEL})")
    add("--out", metavar="FOLDER", help="folder of the results (mteb's cache)")
    add(
        "--every",
        type=float,
        metavar="SECONDS",
        help="embed a clip as the mean of windows with this hop; by default as its middle window",
    )
    options = parser.parse_args(arguments)
    if options.every is not None and not 0 < options.every < np.inf:
        parser.error("argument --every: must be above 0")
    return options


def evaluate() -> None:
    """Run the tasks of the command line, and print the main score of each, and where its result is.

    Raises UserError if there is no such model or task, or the data of a task cannot be loaded.
    """
    arguments = parse_arguments()
    mteb = import_mteb()
    try:
        tasks = mteb.get_tasks(tasks=arguments.tasks)
    except KeyError as e:
        raise UserError(f"--tasks: {e.args[0].removeprefix('KeyError: ')}") from None
    model = MtebModel(arguments.model, hop_seconds=arguments.every)
    for task in tasks:
        model.require_readable(task.metadata)
    cache = mteb.ResultCache(arguments.out)
    for task in tasks:
        name = task.metadata.name
        try:
            [result] = mteb.evaluate(model, task, cache=cache, co2_tracker=False).task_results
        except OSError as e:  # what `datasets` and the hub raise, too
            message = f"{name}: {' '.join(str(e).split())[:200]}: check the network, and hf auth login"
            raise explain_disk_error(e, name) or UserError(message) from None
        path = cache.get_task_result_path(name, model.mteb_model_meta)
        print(f"mteb: {name}: {task.metadata.main_score} {result.get_score():.4f}: {path}", flush=True)


if __name__ == "__main__":
    run(evaluate)
