"""Published settings as flags for DVC: `dvc exp run $(python -m experiments cav_mae)`.

Other commands: `python -m experiments compare A B` (compare.py), `seeds` and `folds` (repeats.py).

NAME is a system with one file of settings (`cav_mae`: cav_mae/params.yaml), or a system and one of its
variants (`objects_that_sound/avenet`). Flags that follow override it:
`dvc exp run $(python -m experiments cav_mae) -S data.source=folder`.
"""

import functools
import importlib
import sys
from pathlib import Path
from typing import Any

import yaml

from pipeline.cli import run

FOLDER = Path(__file__).parent
COMMANDS = {
    "compare": "compare",
    "seeds": "repeats",
    "folds": "repeats",
}  # name -> module of this folder with a function of this name
NOT_SETTINGS = ("dvc.yaml", "published.yaml", "study.yaml")  # YAML files without settings of the authors


def settings_files() -> dict[str, Path]:
    """Return the files of settings of all systems: NAME (see above) -> path."""
    files = {}
    for path in sorted(FOLDER.glob("*/*.yaml")):
        system = path.parent.name
        if path.name == "params.yaml":
            files[system] = path
        elif path.name not in NOT_SETTINGS:
            files[f"{system}/{path.stem}"] = path
    return files


def to_flags(settings: dict[str, Any], params: Any, parent_key: str = "") -> list[str]:
    """Return the flags of `dvc exp run` that apply settings to params.yaml: `-S`, `key=value`, and so on.

    settings: nested, as in params.yaml. params: the content of params.yaml, or its section `parent_key`.
    A key that params.yaml does not have yet begins with `+`.
    """
    flags = []
    for name, value in settings.items():
        key = f"{parent_key}.{name}".lstrip(".")
        is_new = not isinstance(params, dict) or name not in params
        if isinstance(value, dict):
            flags += to_flags(value, {} if is_new else params[name], key)
        else:
            text = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
            flags += ["-S", f"{'+' if is_new else ''}{key}={text.replace(' ', '')}"]
    return flags


def main(arguments: list[str]) -> str:
    """Return the flags for the settings NAME, the only argument. Print the usage if there is no such name."""
    files = settings_files()
    if len(arguments) != 1 or arguments[0] not in files:
        sys.exit(
            f"usage: dvc exp run $(python -m experiments NAME), NAME one of {', '.join(files)}; or python -m"
            f" experiments COMMAND --help, COMMAND one of {', '.join(COMMANDS)}"
        )
    settings = yaml.safe_load(files[arguments[0]].read_text(encoding="utf-8"))
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    return " ".join(to_flags(settings, params))


def start(arguments: list[str]) -> None:
    """Run a command of COMMANDS, or print the flags for the settings NAME."""
    if arguments and arguments[0] in COMMANDS:
        module = importlib.import_module(f"experiments.{COMMANDS[arguments[0]]}")
        command = getattr(module, arguments[0])
        run(functools.wraps(command)(lambda: command(arguments[1:])))
    else:
        print(main(arguments))


if __name__ == "__main__":
    start(sys.argv[1:])
