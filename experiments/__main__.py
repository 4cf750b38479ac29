"""Published settings as flags for DVC: `dvc exp run $(python -m experiments cav_mae)`.

NAME is a system with one file of settings (`cav_mae`: cav_mae/params.yaml), or a system and one of its
variants (`objects_that_sound/avenet`). Flags that follow override it:
`dvc exp run $(python -m experiments cav_mae) -S data.source=folder`.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
OTHERS = ("dvc.yaml", "published.yaml", "study.yaml")  # YAML files that hold no settings of the authors


def settings_files() -> dict[str, Path]:
    """Return name -> file of settings, of all systems."""
    paths = [path for path in sorted(FOLDER.glob("*/*.yaml")) if path.name not in OTHERS]
    return {path.parent.name + (f"/{path.stem}" if path.stem != "params" else ""): path for path in paths}


def flags(settings: dict[str, Any], params: Any, parent: str = "") -> list[str]:
    """Return `-S key=value` for each setting; `+key` where params.yaml has no such key yet."""
    words = []
    for name, value in settings.items():
        key = f"{parent}.{name}".lstrip(".")
        is_new = not isinstance(params, dict) or name not in params
        if isinstance(value, dict):
            words += flags(value, {} if is_new else params[name], key)
        else:
            text = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
            words += ["-S", f"{'+' if is_new else ''}{key}={text.replace(' ', '')}"]
    return words


def main(arguments: list[str]) -> str:
    files = settings_files()
    if len(arguments) != 1 or arguments[0] not in files:
        sys.exit(f"usage: dvc exp run $(python -m experiments NAME), NAME one of {', '.join(files)}")
    settings = yaml.safe_load(files[arguments[0]].read_text(encoding="utf-8"))
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    return " ".join(flags(settings, params))


if __name__ == "__main__":
    print(main(sys.argv[1:]))
