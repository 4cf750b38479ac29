"""Names that do not say what they hold are found wherever a module defines one."""

import pytest

from testing.names import banned_names


@pytest.mark.parametrize(
    "source",
    [
        "found = 1",
        "def told(): ...",
        "def f(given): ...",
        "def f(*, kept=None): ...",
        "self._made = 1",
        "import pipeline as said",
        "for found in range(3): ...",
        "with open(path) as found: ...",
        "[found for found in rows]",
    ],
)
def test_a_definition_is_found(source):
    [(_, line)] = banned_names(source)
    assert line == 1


@pytest.mark.parametrize("source", ["rows = found", "f(given=1)", "foundation = 1", "x.told()", "'found'"])
def test_a_use_is_not(source):
    assert banned_names(source) == []
