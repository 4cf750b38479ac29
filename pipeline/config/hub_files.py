"""What files of Hugging Face that are on this machine say, without any library of networks."""

import json
from pathlib import Path

PREFIX = "hf/"
# Files with the preprocessing of a network for sound, and the key of the part that is about sound.
FILES = {"preprocessor_config.json": None, "processor_config.json": "feature_extractor"}


def read_sampling_rate(name: str) -> int | None:
    """Return the sample rate (Hz) of the sound that a network hears; None if no file here says it.

    name: `hf/<id>` or `hf/<path of a folder>`.
    """
    for file, section in FILES.items():
        try:
            content = json.loads(_find(name.removeprefix(PREFIX), file).read_text(encoding="utf-8"))
            return int(content["sampling_rate"] if section is None else content[section]["sampling_rate"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _find(source: str, file: str) -> Path:
    """Return the path of a file of a network. Raises FileNotFoundError or ValueError if it is not here."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder / file
    import huggingface_hub  # only here: it is not needed for networks in folders

    path = huggingface_hub.try_to_load_from_cache(source, file)
    if not isinstance(path, str):
        raise FileNotFoundError(file)
    return Path(path)
