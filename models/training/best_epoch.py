"""The choice of the best epoch, whose weights become the model."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from models.tasks._base import Task


@dataclass
class BestEpoch:
    """The epoch (from 0) with the largest `Task.rank` so far, and its weights. Of equal epochs, the last."""

    epoch: int = 0
    rank: list[float] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)

    def update(self, epoch: int, module: "Task") -> None:
        """Keep the weights of this epoch if it is the best so far. Without validation clips, each is."""
        rank = module.rank() if module.val_metrics else [float(epoch)]
        if not self.weights or rank >= self.rank:
            self.epoch, self.rank = epoch, rank
            self.weights = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
