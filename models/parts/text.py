"""The text side of models of Hugging Face that were trained on sounds or pictures and their captions."""

from typing import Any

import torch
from torch import Tensor

from models.parts.hf import files
from models.parts.towers import scale_to_rms
from pipeline.errors import UserError

# Models whose config has one of these as `model_type` were trained on texts padded to one length, and
# attend to the padding too.
PADDED_TYPES = ("siglip", "siglip2")


class TextEncoder:
    """Map texts into the space of a model's projected sounds or pictures (`pooling: projection`).

    name: `hf/<id or path>`: CLIP, SigLIP, CLAP, or another model of `transformers` with `get_text_features`.
    Its files must be in the folder, or in the cache of Hugging Face.
    Raises UserError if they are not there, or if the model has no text side.
    """

    def __init__(self, name: str) -> None:
        transformers = files.import_transformers()
        source = name.removeprefix(files.PREFIX)
        try:
            with files.quiet():
                self.model = transformers.AutoModel.from_pretrained(
                    source, use_safetensors=True, dtype=torch.float32
                ).eval()
                self.tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        except (OSError, ValueError) as e:  # no file, no network, or no model
            raise UserError(
                f"{name}: its text side cannot be loaded ({files.shorten_error(e)}): put config.json,"
                " model.safetensors and tokenizer.json into a folder and use hf/FOLDER"
            ) from None
        if not hasattr(self.model, "get_text_features"):
            raise UserError(
                f"{name}: {type(self.model).__name__} has no text side: take CLIP, SigLIP or CLAP"
            )

    @torch.inference_mode()
    def __call__(self, texts: list[str]) -> Tensor:
        """Map n texts to vectors (n, dim) float32 of root mean square 1, as features of towers."""
        inputs = ["input_ids", "attention_mask"]
        options: dict[str, Any] = {"padding": True}
        if self.model.config.model_type in PADDED_TYPES:
            inputs = ["input_ids"]
            length = self.model.config.text_config.max_position_embeddings
            options = {"padding": "max_length", "max_length": length}
        tokens = self.tokenizer(texts, truncation=True, return_tensors="pt", **options)
        output = self.model.get_text_features(**{key: tokens[key] for key in inputs})
        vectors = output if isinstance(output, Tensor) else output.pooler_output
        return scale_to_rms(vectors.float())
