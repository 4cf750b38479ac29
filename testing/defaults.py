"""The project's own parameters: what `params.yaml` says before an experiment changes it.

`dvc exp run -S` leaves its values in the file, so tests take the committed one. Where the code does not
accept that one (somebody is adding a key), and outside of Git, they take the file as it is.
"""

import subprocess
import tempfile
from pathlib import Path

from pipeline.config import ROOT, read
from pipeline.errors import UserError


def _params() -> Path:
    committed = subprocess.run(
        ["git", "-C", str(ROOT), "show", "HEAD:./params.yaml"], capture_output=True, check=False
    )
    if committed.returncode or committed.stdout == (ROOT / "params.yaml").read_bytes():
        return ROOT / "params.yaml"
    path = Path(tempfile.mkdtemp(prefix="earsight-defaults-"), "params.yaml")
    path.write_bytes(committed.stdout)
    try:
        read(path)
    except UserError:
        return ROOT / "params.yaml"
    return path


PARAMS = _params()
