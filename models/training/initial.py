"""Load the trained model whose encoder a classifier starts from."""

from typing import Any

from models import checkpoint
from models.training.experiment import Experiment
from pipeline.errors import UserError

# The number of patches may differ (positions are interpolated), but not what a patch contains.
# So these keys of the section `audio` must have the values that the initial model was trained with.
FIXED_KEYS = ("feature", "sample_rate", "hop_length", "win_length", "n_mels", "dtype")
MEL_KEYS = ("n_fft", "fmin", "fmax")  # and these, unless `feature` is fbank, which does not use them


def load_initial_model(experiment: Experiment, inputs: dict[str, Any]) -> checkpoint.Model | None:
    """Load the trained model whose encoder of both modalities training starts from.

    Returns None if training starts from random weights. inputs: the parameters of the model's inputs, with
    the section `audio`. Raises UserError if the trained model has another encoder than the experiment, or was
    trained on features of other parameters than `inputs`.
    """
    folder = experiment.initial_model_folder
    if not folder:
        return None
    initial = checkpoint.load(folder)
    if initial.config.get("encoder") != experiment.encoder:
        raise UserError(f"classification.start: {folder}: not a model of the encoder {experiment.encoder}")
    keys = FIXED_KEYS if inputs["audio"]["feature"] == "fbank" else FIXED_KEYS + MEL_KEYS
    old, new = initial.config["inputs"]["audio"], inputs["audio"]
    differences = [f"audio.{key} {old[key]}, not {new[key]}" for key in keys if old.get(key) != new.get(key)]
    if differences:
        raise UserError(f"classification.start: {folder}: was trained with {', '.join(differences)}")
    return initial


def encoder_sizes(config: dict[str, Any], initial: checkpoint.Model) -> dict[str, Any]:
    """Return the sizes of an encoder of both modalities that starts from the encoder of `initial`.

    They are those of `initial`, apart from the number of spectrogram columns (0: as many as the data have),
    which the new model's config.json, `config`, sets.
    """
    # No published weights are loaded: those of `initial` would replace them.
    overrides = {"columns": config["encoders"]["joint"].get("columns", 0), "pretrained": False}
    return initial.config["encoders"]["joint"] | overrides
