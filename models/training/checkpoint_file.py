"""The checkpoint from which an interrupted training continues."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from pipeline.store.atomic import atomic_write


class CheckpointFile(TorchCheckpointIO):
    """Lightning's plugin that holds the checkpoint of the last epoch in memory until it is written to `path`.

    Lightning would write it in every epoch, which can take longer than the epoch, and through a file in /tmp,
    which a kill leaves there.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.pending: dict[str, Any] | None = None  # the checkpoint to write

    def save_checkpoint(self, checkpoint: dict, path: str | Path, storage_options: Any = None) -> None:
        """Copy the checkpoint into memory, as training continues to change its tensors."""
        self.pending = apply_to_collection(checkpoint, Tensor, lambda x: x.detach().to("cpu", copy=True))

    def write(self) -> None:
        """Write the checkpoint in memory, if any. Other processes see the old file or the new one."""
        if self.pending is None:
            return
        content = io.BytesIO()  # in memory first, so that a full disk raises an error of the write alone
        torch.save(self.pending, content)
        with atomic_write(self.path) as part:
            part.write_bytes(content.getbuffer())
        self.pending = None
