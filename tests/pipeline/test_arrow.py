"""A stage starts without pandas, and may still have it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAGE = """
import sys

import pyarrow as pa

from stages import run


def stage():
    table = pa.Table.from_pylist([{"clip_id": "a"}])
    assert "pandas" not in sys.modules
    assert table.to_pandas()["clip_id"].tolist() == ["a"]


run(stage)
print("pandas" in sys.modules)
"""


def test_pandas_is_imported_for_who_asks():
    done = subprocess.run([sys.executable, "-c", STAGE], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")
