import gc
import signal

import pytest

from pipeline.store import resume

pytest_plugins = ("testing.clusters", "testing.projects")  # fixtures

# A shell that starts the tests in the background has Ctrl-C ignored, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# What takes longest begins first, so that no process is left alone with it: stages, which wait for projects
# that the first of them makes, then all that is short. (xdist would begin with the files of most tests.)
ORDER = ("stages/test_dvc_yaml", "models", "stages", "app", "")


def pytest_collection_modifyitems(items: list) -> None:
    items.sort(key=lambda item: next(i for i, name in enumerate(ORDER) if f"tests/{name}" in item.nodeid))


def pytest_collection_finish() -> None:
    # All tests of a process would pay for collections that go through what is imported, and for one after
    # every 700 objects: tracing a model makes millions.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


def pytest_unconfigure() -> None:
    gc.unfreeze()  # for libraries that complain of what is left at the end


@pytest.fixture(autouse=True)
def unfinished(tmp_path, monkeypatch):
    """Where a test's own process leaves unfinished work: no other test finds it."""
    folder = tmp_path.with_name(f"{tmp_path.name}-resume")  # beside what tests list
    monkeypatch.setattr(resume, "FOLDER", str(folder))
    return folder
