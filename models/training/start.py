"""Find the trained model that a training starts from."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.places import open_folder
from models.tasks import tasks
from models.tasks._experiment import Experiment
from models.training.initial import Start
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config.train import LearningParams


@contextmanager
def open_start(experiment: Experiment, settings: "LearningParams", out: str | Path) -> Iterator[Start | None]:
    """Yield the trained model that a training starts from; None: random or published weights.

    A model of a Git repository or of Hugging Face is downloaded; that of a repository exists only within the
    `with` block.
    settings: the section of params.yaml with those of the training; its key `start` comes before what the
    experiment starts from by itself. out: the folder of the new model.
    Raises UserError if there is no such model, or if it is the one that the training would replace.
    """
    if not settings.start:
        folder = experiment.initial_model_folder
        yield Start("classification.start", folder, Path(folder)) if folder else None
        return
    section = {"train": "train", "pretrain": "pretraining.train"}[tasks.get(experiment.task).stage]
    key = f"{section}.start"
    with ExitStack() as stack:
        try:
            start = Start(key, settings.start, stack.enter_context(open_folder(settings.start)))
        except UserError as e:
            raise UserError(f"{key}: {e}") from None
        if start.folder.resolve() == Path(out).resolve():
            raise start.error("the training replaces this model: start from a copy of it")
        yield start
