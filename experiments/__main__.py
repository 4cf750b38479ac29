"""Published settings as flags for DVC: `dvc exp run $(python -m experiments avenet)`.

Each file beside this one holds values for keys of params.yaml. Flags that follow overrule it:
`dvc exp run $(python -m experiments avenet) -S data.source=folder`.
"""

import sys
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent


def flags(values: dict, known: dict, path: str = "") -> list[str]:
    """`-S key=value` for each value; `+key` where params.yaml has no such key yet."""
    found = []
    for name, value in values.items():
        key = f"{path}.{name}".lstrip(".")
        here = known.get(name) if isinstance(known, dict) else None
        if isinstance(value, dict):
            found += flags(value, here or {}, key)
        else:
            new = not (isinstance(known, dict) and name in known)
            text = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
            found += ["-S", f"{'+' if new else ''}{key}={text.replace(' ', '')}"]
    return found


def main(names: list[str]) -> str:
    there = sorted(p.stem for p in FOLDER.glob("*.yaml"))
    if len(names) != 1 or names[0] not in there:
        sys.exit(f"usage: dvc exp run $(python -m experiments NAME), NAME one of {', '.join(there)}")
    values = yaml.safe_load((FOLDER / f"{names[0]}.yaml").read_text(encoding="utf-8"))
    known = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    return " ".join(flags(values, known))


if __name__ == "__main__":
    print(main(sys.argv[1:]))
