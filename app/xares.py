"""A trained model as an encoder of xares: `python -m xares.run --max-jobs 0 app/xares.py TASK.py ...`.

xares imports this file and creates the class without arguments, so the environment variable EARSIGHT_MODEL
names the model; by default it is that of this project.
"""

import math
import os

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import Model
from models.device import CPU, choose_device
from models.inference import decode
from models.inference.decode import DecodedFile, Steps
from models.inference.file_model import FileModel
from models.places import MODEL
from models.sharing.load import load
from pipeline.errors import UserError
from pipeline.media.wav import write_wav
from pipeline.store.status import Outcome

HOPS = 4  # in a window
NO_PICTURE = Outcome("no_video", "xares has sounds only")


class XaresEncoder(torch.nn.Module):
    """Embed windows along sounds: the sequence of frames that xares pools, or classifies one by one.

    place: as in models.sharing.load.load; None: EARSIGHT_MODEL. A frame is the embedding of a window, and the
    next begins a quarter of a window later. The window is around the middle of its frame; beyond the ends of
    the sound there is silence. The network is no child of this module, so it stays on the device that it
    chose.

    sampling_rate: Hz, of sounds. output_dim: size of a frame. hop_size_in_ms: from one frame to the next.
    Raises UserError if there is no such model, or if it does not embed sounds alone.
    """

    def __init__(self, place: str | None = None) -> None:
        super().__init__()
        place = place or os.environ.get("EARSIGHT_MODEL") or MODEL
        model = load(place).model
        if "audio" not in model.module.embedding_names:
            raise UserError(f"{place}: the model does not embed sounds alone: choose another one")
        if (device := choose_device()) != CPU:
            model = Model(model.module, model.config, device)
        self._file_model, self._steps = FileModel(model), Steps(model.config)
        audio = model.config["inputs"]["audio"]
        self.sampling_rate = audio["sample_rate"]
        self._window = round(audio["window_seconds"] * self.sampling_rate)  # samples
        columns = max(self._window // audio["hop_length"] // HOPS, 1)
        self._hop = columns * audio["hop_length"]  # samples
        self.hop_size_in_ms = 1000 * self._hop / self.sampling_rate
        self.output_dim = model.embed_audio(np.empty((0, *model.config["audio_shape"]), np.float32)).shape[1]

    def forward(self, sounds: Tensor) -> Tensor:
        """Embed sounds (batch, samples) from -1 to 1 as frames (batch, frames, dim), on the same device."""
        frames = [self._embed_sound(sound) for sound in sounds.float().cpu().numpy()]
        return torch.from_numpy(np.stack(frames)).to(sounds.device)

    def _embed_sound(self, sound: np.ndarray) -> np.ndarray:
        """Embed one sound (samples,) as frames (frames, dim)."""
        n_frames = math.ceil(len(sound) / self._hop)
        before = max(self._window - self._hop, 0) // 2
        after = n_frames * self._hop + self._window - len(sound)  # more than the last window needs
        padded = np.pad(sound.clip(-1, 1), (before, after))
        samples = (padded * np.iinfo(np.int16).max).astype(np.int16)
        seconds = self._hop / self.sampling_rate
        config = self._file_model.config
        parts = decode.decode_parts(lambda start: self._decode_part(samples, start), config, seconds)
        return self._file_model.embed_parts(parts, seconds)[1]["audio"][:n_frames]

    def _decode_part(self, samples: np.ndarray, start: float) -> DecodedFile:
        """Return the part of a sound that begins at `start` (seconds), as one of a file. Raises UserError."""
        first = round(start * self.sampling_rate)
        part = samples[first : first + round(self._steps.wav.clip_seconds * self.sampling_rate)]
        if not len(part):
            raise UserError("the sound ends before this part")
        wav = write_wav(part, self.sampling_rate)
        [audio] = self._steps.spectrogram([{"clip_id": "sound"}], [wav])
        return self._steps.combine_outcomes("sound", audio, NO_PICTURE, wav)
