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
    """A plugin for Lightning that keeps the last checkpoint in memory, until `write` writes it to `path`.

    Without it, Lightning writes a file in every epoch, which can take longer than the epoch itself, and it
    writes first to /tmp, where a killed process leaves the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.pending: dict[str, Any] | None = None  # the checkpoint in memory; None after it was written

    def save_checkpoint(self, checkpoint: dict, path: str | Path, storage_options: Any = None) -> None:
        """Keep a copy of the checkpoint in memory. Lightning calls this; no file is written.

        A copy, because training goes on and changes the tensors.
        """
        self.pending = apply_to_collection(
            checkpoint, Tensor, lambda tensor: tensor.detach().to("cpu", copy=True)
        )

    def write(self) -> None:
        """Write the checkpoint that is in memory, if there is one, to `path`.

        Another process never sees an unfinished file, only the old one or the new one.
        """
        if self.pending is None:
            return
        # First in memory: if the disk is full, the error is the OSError of `write_bytes`, not one of PyTorch.
        content = io.BytesIO()
        torch.save(self.pending, content)
        with atomic_write(self.path) as temporary_path:
            temporary_path.write_bytes(content.getbuffer())
        self.pending = None
