"""PE-AV of `transformers`: towers for sound, for pictures, and for text in one space."""

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from models.parts.hf import files
from models.parts.hf.network import Tower


class ContrastiveTower(nn.Module):
    """An encoder of PE-AV, and optionally its projection to the space of text.

    encoder, head: of `transformers`.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module | None) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, inputs: Tensor) -> Any:
        """Return the encoder's outputs, with the projection, if there is one, as pooled output."""
        outputs = self.encoder(inputs)
        if self.head is not None:
            outputs.pooler_output = self.head(outputs.pooler_output)
        return outputs


class Pe(Tower):
    """One side of PE-AV (arXiv 2512.19687): `projection` is the space of all of its sides.

    The subclasses say which one, by the names of `transformers`.
    """

    kind: ClassVar[str]  # audio or video
    poolings = ("projection", "class", "mean")
    prefix_tokens = 0  # the last hidden states have no class token

    @classmethod
    def select_config(cls, config: Any) -> Any:
        return getattr(config, f"{cls.kind}_config") if config.model_type == "pe_audio_video" else config

    @property
    def n_features(self) -> int:
        if self.pooling == "projection":
            return self.config.text_config.hidden_size
        return getattr(self.config, f"{self.kind}_config").hidden_size

    def make_net(self, folder: Path | None) -> nn.Module:
        transformers = files.import_transformers()
        title = self.kind.capitalize()
        if folder is None:
            module = getattr(transformers.models, f"pe_{self.kind}")
            module = getattr(module, f"modeling_pe_{self.kind}")
            config = getattr(self.config, f"{self.kind}_config")
            encoder = getattr(module, f"Pe{title}Encoder")(config)
            head_class = getattr(module, f"Pe{title}ContrastiveHead")
            head = head_class(config.hidden_size, self.config.text_config.hidden_size)
        else:
            config = files.read_config(self.name, folder)
            is_part = config.model_type == "pe_audio_video"
            model_class = getattr(transformers, "PeAudioVideoModel" if is_part else f"Pe{title}Model")
            model = files.load_model(self.name, folder, model_class, config)
            model = getattr(model, f"{self.kind}_model") if is_part else model
            encoder, head = (getattr(model, f"{self.kind}_{part}") for part in ("encoder", "head"))
        return ContrastiveTower(encoder, head if self.pooling == "projection" else None)
