"""A stage starts without pandas and can still import it."""

from tests.pipeline.engine.test_runner import start_python

STAGE = """
import sys

import pyarrow as pa

from pipeline.cli import run


def stage():
    table = pa.Table.from_pylist([{"clip_id": "a"}])
    assert "pandas" not in sys.modules
    assert table.to_pandas()["clip_id"].tolist() == ["a"]


run(stage)
print("pandas" in sys.modules)
"""


def test_pandas_is_imported_on_demand():
    assert start_python("-c", STAGE).communicate(timeout=60) == ("True\n", "")
