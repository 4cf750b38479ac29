"""Print the tests of the files that changed since the last commit: `make check` runs them.

The tests mirror the tree: those of `pipeline/store/values.py` are in `tests/pipeline/store/test_values.py`. A
module without a test of its own has those of its folder, or of the nearest folder above that has any.
"""

import subprocess
from pathlib import Path

from pipeline.config import ROOT

CODE = ("app", "experiments", "models", "pipeline", "stages", "testing")  # folders that tests mirror


def changed_files() -> list[str]:
    """Return the paths of files that differ from the last commit, new files too."""
    commands = (["diff", "--name-only", "HEAD"], ["ls-files", "--others", "--exclude-standard"])
    outputs = [
        subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for command in commands
    ]
    return sorted({path for output in outputs for path in output.splitlines()})


def tests_of(path: str, root: Path = ROOT) -> set[str]:
    """Return the test files, or folders of tests, of a file of the project; none for a file without tests."""
    place = Path(path)
    if place.parts[0] == "tests":
        return {path} if place.name.startswith("test_") and (root / place).exists() else set()
    if place.parts[0] not in CODE or place.suffix != ".py":
        return set()
    folder = "tests" / place.parent
    own = folder / f"test_{place.stem}.py"
    if (root / own).exists():
        return {own.as_posix()}
    while not (files := [*(root / folder).glob("test_*.py")]) and len(folder.parts) > 1:
        folder = folder.parent
    return {file.relative_to(root).as_posix() for file in files}


def main() -> None:
    tests = set().union(*map(tests_of, changed_files()))
    print("\n".join(sorted(tests)))


if __name__ == "__main__":
    main()
