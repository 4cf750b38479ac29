import gc
import signal

import pytest

from pipeline.store import resume

pytest_plugins = ("testing.clusters", "testing.projects")  # fixtures

# A shell that starts the tests in the background ignores Ctrl-C: child processes would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The longest tests begin first, so that no process runs alone at the end: stages, which wait for projects
# that the first of them makes, then the short ones. (xdist would begin with the files of most tests.)
ORDER = ("stages/test_dvc_yaml", "models", "stages", "app", "")


def pytest_collection_modifyitems(items: list) -> None:
    items.sort(key=lambda item: next(i for i, name in enumerate(ORDER) if f"tests/{name}" in item.nodeid))


def pytest_collection_finish() -> None:
    # Each garbage collection goes through all imported objects, and there is one after every 700 new objects:
    # tracing a model makes millions.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


def pytest_unconfigure() -> None:
    gc.unfreeze()  # for libraries that complain of what is left at the end


@pytest.fixture(scope="session", autouse=True)
def session_resume_folder(tmp_path_factory):
    """The folder of unfinished work of what fixtures make: other test processes may make the same."""
    resume.FOLDER = str(tmp_path_factory.mktemp("resume"))


@pytest.fixture(autouse=True)
def resume_folder(tmp_path, monkeypatch):
    """The folder of unfinished work (`pipeline.store.resume`), one for each test."""
    folder = tmp_path.with_name(f"{tmp_path.name}-resume")  # beside what tests list
    monkeypatch.setattr(resume, "FOLDER", str(folder))
    return folder
