"""Lightning's callbacks for weight averaging and the progress bar, with our settings."""

from typing import Any

from lightning.pytorch.callbacks import TQDMProgressBar, WeightAveraging
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class EpochAverage(WeightAveraging):
    """Average the weights that the model has after each of the epochs `first` to `last`, counted from 1.

    After training, Lightning replaces the model's weights by the average. Validation measures the weights of
    the epoch itself.
    """

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first, self.last = first, last

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether Lightning should add the present weights to the average.

        Lightning calls this after each optimizer step, without `epoch_idx`, and after each epoch, with its
        number from 0.
        """
        return epoch_idx is not None and self.first <= epoch_idx + 1 <= self.last

    def on_validation_epoch_start(self, *_: Any) -> None:
        """Do nothing, where Lightning would replace the model's weights by the average for validation."""

    def on_validation_epoch_end(self, *_: Any) -> None:
        """Do nothing, where Lightning would put back the weights that it had replaced."""


class ProgressBar(TQDMProgressBar):
    """Lightning's progress bar, but only for training: validation is too short for a bar of its own."""

    def __init__(self) -> None:
        super().__init__(leave=False)  # remove the bar at the end

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)
