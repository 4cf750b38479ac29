"""Broken media, a hundred of them; a thousand: python -m benchmarks.fuzz."""

import sys

import pytest

from testing import fuzz


@pytest.mark.skipif(sys.platform != "linux", reason="watches processes by /proc")
@pytest.mark.parametrize(
    ("files", "decoder", "in_tar"), [(100, "pyav", False), (24, "pyav", True), (8, "ffmpeg", False)]
)
def test_broken_files_are_all_accounted_for(tmp_path, files, decoder, in_tar):
    result = fuzz.run(tmp_path, files, seed=1, decoder=decoder, in_tar=in_tar)
    assert not result["broken"]
    outcomes = result["outcomes"]
    assert sum(outcomes["wav"].values()) == sum(outcomes["frames"].values()) == files
