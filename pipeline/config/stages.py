"""Read dvc.yaml: the stages of the pipeline, and which of them are data stages."""

from pathlib import Path

import yaml

from pipeline.config.fields import ROOT
from pipeline.errors import UserError


def stage_names(root: Path = ROOT) -> tuple[str, ...]:
    """Return the names of all stages, in an order in which they can run: that of dvc.yaml.

    root: the folder with dvc.yaml.
    """
    return tuple(_read_entries(root))


def stage_entry(stage: str, root: Path = ROOT) -> dict:
    """Return the entry of a stage in `root`/dvc.yaml, with templates (`${data.folder}`) as they are."""
    return _read_entries(root)[stage]


def data_stages(root: Path = ROOT) -> dict[str, str]:
    """Return the output folder, such as `data/wav`, of each stage that writes shards, by the stage's name.

    The order is that of `root`/dvc.yaml. A stage writes shards if it has an out `data/<folder>` with
    `persist: true`: DVC does not delete the folder before it runs the stage, so the stage computes only the
    rows whose key is new.
    """
    folders = {}
    for name, entry in _read_entries(root).items():
        outs_with_options = [out for out in entry.get("outs", []) if isinstance(out, dict)]
        for out in outs_with_options:
            for folder, options in out.items():
                if folder.startswith("data/") and options.get("persist"):
                    folders[name] = folder
    return folders


def _read_entries(root: Path) -> dict[str, dict]:
    """Return the entries of all stages in `root`/dvc.yaml, by their names."""
    path = root / "dvc.yaml"
    try:
        with open(path, encoding="utf-8") as f:
            return yaml.load(f, yaml.CSafeLoader)["stages"]
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}): run from the project's root") from None
    except (yaml.YAMLError, KeyError, TypeError):
        raise UserError(f"{path}: holds no stages of DVC: `dvc dag` says what is wrong") from None
