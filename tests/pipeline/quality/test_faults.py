"""Precision and recall of each flag on synthetic clips whose faults are known by construction.

`python -m benchmarks.quality` does the same with more clips.
"""

import pytest

from pipeline.quality.table import FLAGS
from testing.quality import measure_flags, render_clips

N_CLIPS = 88  # at 0.9, about 80 of which have one of the 12 faults or kinds of copies


@pytest.fixture(scope="module")
def results() -> dict[str, dict]:
    """Return the precision and recall of each flag and each kind of copy."""
    return measure_flags(render_clips(N_CLIPS, share=0.9, seed=1, clip_seconds=2.0))


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_is_precise_and_finds_its_faults(results, flag):
    result = results["flags"][flag]
    assert result["n"] >= 4
    assert result["precision"] >= 0.95 and result["recall"] >= 0.9, result


@pytest.mark.parametrize("kind", ["reencoded", "cropped", "trimmed", "quieter"])
def test_copies_are_found(results, kind):
    result = results["copies"][kind]
    assert result["n"] >= 4 and result["recall"] >= 0.9, result


def test_other_clips_are_no_copies(results):
    assert results["pairs"]["sound"]["precision"] >= 0.95
    assert results["pairs"]["picture"]["precision"] >= 0.95
