"""Arrays of the authors' own code, and published lists, where they are there."""

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[5] / "shared"


@pytest.fixture(scope="session")
def shared_lists() -> Path:
    """The folder of published lists."""
    if not (SHARED / "protocols").is_dir():
        pytest.skip("the published lists are not here")
    return SHARED / "protocols"


@pytest.fixture(scope="session")
def load_reference():
    """Return a function that loads the arrays of a published code, by the name of its folder."""

    def load(name: str) -> dict[str, np.ndarray]:
        path = SHARED / "reference" / name / "reference.npz"
        if not path.exists():
            pytest.skip(f"the arrays of {name} are not here")
        return np.load(path)

    return load
