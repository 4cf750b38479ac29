"""Broken media, a hundred of them; a thousand: python -m benchmarks.fuzz."""

import sys

import pytest

from testing import fuzz


@pytest.mark.skipif(sys.platform != "linux", reason="watches processes by /proc")
def test_a_hundred_broken_files_are_all_accounted_for(tmp_path):
    result = fuzz.run(tmp_path, 100, seed=1)
    assert not result["broken"]
    assert sum(result["outcomes"]["wav"].values()) == sum(result["outcomes"]["frames"].values()) == 100
