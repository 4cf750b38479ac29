"""The choice of the best epoch, whose weights become the model."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from models.tasks._base import Task


@dataclass
class BestEpoch:
    """The epoch with the largest `Task.rank` so far; of equal epochs, the last.

    epoch: its number, from 0. rank: how good it is; the first number decides, then the next. weights: the
    state_dict of the model after this epoch; empty before the first one.
    """

    epoch: int = 0
    rank: list[float] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)

    def update(self, epoch: int, module: "Task") -> None:
        """Keep the weights of this epoch if it is the best so far.

        Without validation clips, a later epoch is always better. epoch: its number, from 0.
        """
        rank = module.rank() if module.val_metrics else [float(epoch)]
        if not self.weights or rank >= self.rank:
            self.epoch, self.rank = epoch, rank
            self.weights = {
                name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()
            }
