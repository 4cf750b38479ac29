"""A network of Hugging Face `transformers` on the samples of a window."""

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from models.audio import encoders
from models.parts.hf.inputs import SoundInputs, make_sound_inputs
from models.parts.hf.network import Pooling, make_tower
from models.parts.hf.sound import FAMILIES
from models.parts.network import NetworkEncoder, Trainable
from pipeline.errors import UserError


@encoders.register
class Hf(NetworkEncoder):
    """`hf/<id or path>`: AST, CLAP, HuBERT, PE-AV, wav2vec 2.0, WavLM or Whisper's encoder, then linear.

    It hears samples, with the model's own preprocessing, so `audio.feature` must be waveform, and
    `audio.sample_rate` the model's.

    shape: (1, samples in a column, columns) of one input.
    pretrained: with the model's weights; False: random weights.
    pooling: class, mean or projection, as the family has it; None: the family's own.
    trainable: `none`, `all`, `lora`, or n for the last n blocks. lora_rank: of `lora`.
    feature, sample_rate: `audio.feature` and `audio.sample_rate` of params.yaml, only to check them: a shape
    does not tell samples from a spectrogram, nor their rate. They are no settings of users: the experiment
    fills them in. None: not checked.
    definition: for a network whose weights are loaded later: the attribute of this name of the first one; the
    model's files are then not needed.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        *,
        name: str,
        pretrained: bool = True,
        pooling: Pooling | None = None,
        trainable: Trainable = "none",
        lora_rank: PositiveInt = 8,
        feature: str | None = None,
        sample_rate: int | None = None,
        definition: dict[str, Any] | None = None,
    ) -> None:
        tower, definition = make_tower(FAMILIES, name, pooling, pretrained, definition)
        inputs = make_sound_inputs(name, definition["preprocessor"])
        _check_sound(name, inputs, feature, sample_rate)
        n_samples, max_samples = shape[1] * shape[2], inputs.max_samples
        if n_samples < tower.min_inputs or max_samples and n_samples - shape[1] >= max_samples:
            limits = f"{tower.min_inputs} to {max_samples}" if max_samples else f"at least {tower.min_inputs}"
            raise UserError(
                f"{name}: hears {limits} samples, a window has {n_samples}: change audio.window_seconds"
            )
        super().__init__(tower, tower.n_features, dim, definition)
        self.inputs = inputs
        tower.restrict_training(trainable, lora_rank, lambda _: self.compute_features(torch.zeros(1, *shape)))

    def compute_features(self, x: Tensor) -> Tensor:
        """Map samples in columns, (batch, 1, samples of a column, time), to vectors (batch, n_features)."""
        samples = x.transpose(2, 3).flatten(1).float()
        if torch.is_autocast_enabled(x.device.type):  # half precision is not enough for logarithms of powers
            with torch.autocast(x.device.type, enabled=False):
                inputs = self.inputs(samples)
        else:
            inputs = self.inputs(samples)
        return self.trunk(inputs)


def _check_sound(name: str, inputs: SoundInputs, feature: str | None, sample_rate: int | None) -> None:
    """Raise UserError if the sound is not what the network hears."""
    has_samples = feature in (None, "waveform")
    if not has_samples or sample_rate not in (None, inputs.sample_rate):
        raise UserError(
            f"audio_encoder: {name} hears samples: set audio.feature: waveform and"
            f" audio.sample_rate: {inputs.sample_rate}"
        )
