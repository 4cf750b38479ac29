"""Lightning's callbacks for weight averaging and the progress bar, with our settings."""

from typing import Any

from lightning.pytorch.callbacks import TQDMProgressBar, WeightAveraging
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class EpochAverage(WeightAveraging):
    """The mean of the weights after each of the epochs `first` to `last` (from 1).

    Validation measures the weights of the epoch, not the mean.
    """

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first, self.last = first, last

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None and self.first <= epoch_idx + 1 <= self.last

    def on_validation_epoch_start(self, *_: Any) -> None:
        """Keep the epoch's weights in the module, instead of swapping in the mean."""

    def on_validation_epoch_end(self, *_: Any) -> None:
        """Do nothing, as no weights were swapped."""


class ProgressBar(TQDMProgressBar):
    """Lightning's bar without a second one for validation, which is too short for it."""

    def __init__(self) -> None:
        super().__init__(leave=False)

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)
