import pickle

import pytest

from tests.pipeline.sources.test_audioset import folder as audioset_folder  # noqa: F401
from tests.security.attempts import Canary


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    pickle.loads(pickle.dumps(Canary(path)))
    path.rmdir()  # unpickling it makes the folder
    yield path
    assert not path.exists()
