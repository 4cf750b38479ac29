"""Load the trained model whose encoder a classifier starts from."""

from typing import Any

from models import checkpoint
from models.training.experiment import Experiment
from pipeline.errors import UserError

# The number of patches may differ (positions are interpolated), but not what a patch contains.
FIXED_KEYS = ("feature", "sample_rate", "hop_length", "win_length", "n_mels", "dtype")
MEL_KEYS = ("n_fft", "fmin", "fmax")  # Kaldi's fbank does not have them


def load_initial_model(experiment: Experiment, inputs: dict[str, Any]) -> checkpoint.Model | None:
    """Load the model whose encoder of both modalities training starts from, if the experiment names one.

    Raises UserError if it has another encoder, or was trained on other features than `inputs`.
    """
    if not (start := experiment.start):
        return None
    initial = checkpoint.load(start)
    if initial.config.get("encoder") != experiment.encoder:
        raise UserError(f"classification.start: {start}: not a model of the encoder {experiment.encoder}")
    keys = FIXED_KEYS if inputs["audio"]["feature"] == "fbank" else FIXED_KEYS + MEL_KEYS
    old, new = initial.config["inputs"]["audio"], inputs["audio"]
    if differences := [f"audio.{k} {old[k]}, not {new[k]}" for k in keys if old.get(k) != new.get(k)]:
        raise UserError(f"classification.start: {start}: was trained with {', '.join(differences)}")
    return initial


def encoder_sizes(config: dict[str, Any], initial: checkpoint.Model) -> dict[str, Any]:
    """Return the sizes of the encoder that starts from `initial`, whose weights replace published ones."""
    overrides = {"columns": config["encoders"]["joint"].get("columns", 0), "pretrained": False}
    return initial.config["encoders"]["joint"] | overrides
