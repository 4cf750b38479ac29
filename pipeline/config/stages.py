"""Read dvc.yaml: the stages of the pipeline, and which of them are data stages."""

from pathlib import Path

import yaml

from pipeline.config.fields import ROOT
from pipeline.errors import UserError


def stage_names(root: Path = ROOT) -> tuple[str, ...]:
    """Return the names of all stages, in the order of dvc.yaml, which is the order in which they can run."""
    return tuple(_entries(root))


def stage_entry(stage: str, root: Path = ROOT) -> dict:
    """Return the entry of a stage in dvc.yaml, without filling in templates."""
    return _entries(root)[stage]


def data_stages(root: Path = ROOT) -> dict[str, str]:
    """Return the stages that write shards, in the order of dvc.yaml: name -> folder, as `data/media`.

    They are the stages with an out `data/<folder>` that has `persist: true`: DVC does not delete the folder
    before it runs the stage, so the stage computes only the rows whose key is new.
    """
    return {
        name: folder
        for name, entry in _entries(root).items()
        for out in entry.get("outs", [])
        if isinstance(out, dict)
        for folder, options in out.items()
        if folder.startswith("data/") and options.get("persist")
    }


def _entries(root: Path) -> dict[str, dict]:
    path = root / "dvc.yaml"
    try:
        with open(path, encoding="utf-8") as f:
            return yaml.load(f, yaml.CSafeLoader)["stages"]
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}): run from the project's root") from None
    except (yaml.YAMLError, KeyError, TypeError):
        raise UserError(f"{path}: holds no stages of DVC: `dvc dag` says what is wrong") from None
