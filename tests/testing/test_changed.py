"""`make check` finds the tests of a file by the tests' mirror of the tree."""

import pytest

from testing import changed


@pytest.mark.parametrize(
    ("path", "tests"),
    [
        ("pipeline/store/shards.py", {"tests/pipeline/store/test_shards.py"}),
        (
            "pipeline/store/status.py",
            {"tests/pipeline/store/test_shards.py", "tests/pipeline/store/test_b.py"},
        ),
        ("tests/pipeline/store/test_b.py", {"tests/pipeline/store/test_b.py"}),
        ("tests/pipeline/store/test_deleted.py", set()),
        ("models/audio/cnn.py", {"tests/models/test_components.py"}),
        ("testing/kills.py", {"tests/testing/test_names.py"}),
        ("docs/data.md", set()),
        ("README.md", set()),
    ],
)
def test_tests_of_a_file(tmp_path, path, tests):
    for name in (
        "pipeline/store/test_shards",
        "pipeline/store/test_b",
        "models/test_components",
        "testing/test_names",
    ):
        file = tmp_path / f"tests/{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert changed.tests_of(path, tmp_path) == tests
