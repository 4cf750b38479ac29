"""Files of a model of Hugging Face `transformers`: its configuration, its preprocessing and its weights.

Only JSON and safetensors are read; no code of a repository is run. `transformers` is an extra, and imported
here only when such a model is used.
"""

import contextlib
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import nn

from models import hub
from pipeline.errors import UserError

PREFIX = "hf/"
CONFIG = "config.json"
# transformers keeps the preprocessing of sound, of images and of videos in files of several names.
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
# Keys of a configuration that do not describe the network.
OTHER_KEYS = ("_name_or_path", "transformers_version", "architectures", "dtype", "id2label", "label2id")
# The class that reads the preprocessing of each kind.
READERS = {"audio": "AutoFeatureExtractor", "image": "AutoImageProcessor", "video": "AutoVideoProcessor"}


def import_transformers() -> ModuleType:
    """Import transformers, and let it print nothing but errors. Raises UserError if it is not installed."""
    try:
        import transformers
    except ImportError:
        raise UserError("hf/: transformers is not installed: uv pip install transformers") from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let transformers print nothing and warn of nothing in this `with` block."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        yield


def find_folder(name: str, with_weights: bool) -> Path:
    """Return the folder with the files of a model.

    name: `hf/<path of a folder>` or `hf/<id>`, whose files are in the cache of huggingface_hub, or are
    downloaded. with_weights: whether its weights are needed, too.
    Raises UserError if a file is missing, and says which and where to put it.
    """
    source = name.removeprefix(PREFIX)
    folder = Path(source).expanduser()
    if folder.is_dir():
        _check_files(name, folder, with_weights)
        return folder
    patterns = (CONFIG, *PREPROCESSORS, *(WEIGHTS if with_weights else ()))
    try:
        folder = Path(snapshot_download(source, allow_patterns=list(patterns), local_files_only=True))
        _check_files(name, folder, with_weights)
        return folder
    except Exception:  # not in the cache, or only in parts, or no valid id
        pass
    try:
        if not hub.REPO.fullmatch(source):
            raise UserError("neither a folder nor an id user/name")
        folder = hub.pull(source, None, patterns)
    except UserError as e:
        raise UserError(
            f"{name}: {e}: without a network, put {CONFIG}, {PREPROCESSORS[0]} and {WEIGHTS[0]} of the model"
            " into a folder, and name it hf/PATH"
        ) from None
    _check_files(name, folder, with_weights)
    return folder


def _check_files(name: str, folder: Path, with_weights: bool) -> None:
    """Raise UserError if the folder lacks a file that is needed."""
    missing = [] if (folder / CONFIG).is_file() else [CONFIG]
    if not any((folder / file).is_file() for file in PREPROCESSORS):
        missing.append(PREPROCESSORS[0])
    if with_weights and not any((folder / file).is_file() for file in WEIGHTS):
        missing.append(WEIGHTS[0])
    if missing:
        only = ": of weights, only safetensors are read" if WEIGHTS[0] in missing else ""
        raise UserError(f"{name}: {folder} lacks {', '.join(missing)}{only}")


def read_config(name: str, folder: Path) -> Any:
    """Read the configuration of a model. Raises UserError if transformers does not know such a model."""
    reader = import_transformers().AutoConfig
    try:
        with quiet():
            return reader.from_pretrained(folder, trust_remote_code=False)
    except Exception as e:  # of many kinds: unknown model types, values that do not fit, no JSON
        raise UserError(f"{name}: {folder / CONFIG}: {shorten_error(e)}") from None


def read_preprocessor(name: str, folder: Path, kind: str) -> dict[str, Any]:
    """Read the preprocessing of a model, with the defaults of its class. kind: a key of READERS.

    Raises UserError if there is none for this kind.
    """
    reader = getattr(import_transformers(), READERS[kind])
    try:
        with quiet():
            return json.loads(reader.from_pretrained(folder, trust_remote_code=False).to_json_string())
    except Exception as e:
        raise UserError(f"{name}: {folder / PREPROCESSORS[0]}: {shorten_error(e)}") from None


def config_to_json(config: Any) -> dict[str, Any]:
    """Return a configuration as JSON can hold it, without what does not describe the network."""
    values = json.loads(json.dumps(config.to_dict(), default=str))
    return {key: value for key, value in values.items() if key not in OTHER_KEYS}


def config_from_json(values: dict[str, Any]) -> Any:
    """Return the configuration that `config_to_json` made JSON of."""
    return import_transformers().CONFIG_MAPPING[values["model_type"]].from_dict(values)


def load_model(name: str, folder: Path, model_class: Any, config: Any, **options: Any) -> nn.Module:
    """Create a model of a class of transformers, with the weights in a folder, in single precision.

    config: of this class; the folder may have the weights of a model that it is a part of. options: arguments
    of the class.
    Raises UserError if weights are missing or have other shapes.
    """
    try:
        with quiet():
            model, report = model_class.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
    except Exception as e:
        raise UserError(f"{name}: {folder}: {shorten_error(e)}") from None
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if missing:
        raise UserError(
            f"{name}: {folder}: not weights of this network: {len(missing)} are missing or of another shape,"
            f" such as {missing[0]}"
        )
    return model


def shorten_error(e: BaseException) -> str:
    """Return the message of an error of another library on one line."""
    return " ".join(str(e).split())[:200] or type(e).__name__
