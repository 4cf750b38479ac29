"""A task as a module of Lightning, for its trainer. Only training imports Lightning, which takes seconds."""

from typing import Any

import lightning
from torch import Tensor

from models.tasks._base import Task


class LightningTask(lightning.LightningModule):
    """A task with the hooks that Lightning's trainer calls. They call the methods of the task."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def training_step(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | dict[str, Tensor]]:
        """Compute the loss of a batch, and show it in the progress bar."""
        outputs = self.task.training_step(batch, number)
        self.log("loss", outputs["logged_loss"], prog_bar=True, batch_size=len(batch["clip"]))
        return outputs

    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        """Collect the outputs of a batch."""
        self.task.validation_step(batch, number)

    def on_validation_epoch_end(self) -> None:
        """Compute the metrics of the validation."""
        self.task.finish_validation()

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimizer and the schedule of the learning rate."""
        return self.task.configure_optimizers()
