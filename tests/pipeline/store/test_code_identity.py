"""What changes the hash of code, and what does not."""

import importlib.util
from pathlib import Path

import pytest

from models import tasks
from pipeline import sources
from pipeline.config import data_stages
from pipeline.config.fields import source_names
from pipeline.store import code_identity
from pipeline.store.code_identity import code_digest, imported_modules

STEP = '''"""A step."""

from pipeline.media import decode


def step(clips: list) -> list:
    """Decode clips."""
    return [decode(clip) for clip in clips]  # one by one
'''
FILES = {
    "pipeline/__init__.py": "",
    "pipeline/step.py": STEP,
    "pipeline/media/__init__.py": "from pipeline.media.nested import decode as decode\n",
    "pipeline/media/nested/__init__.py": "",
    "pipeline/media/nested.py": "import math\n\nSCALE = 2\n\n\ndef decode(clip):\n    return SCALE * clip\n",
    "pipeline/other.py": "def decode(clip):\n    return clip\n",
}
# What says where, when and for whom a step runs, and cannot change what comes out.
NEUTRAL = ("pipeline.engine", "pipeline.report", "pipeline.config", "pipeline.cli")
# What says where the values of a data stage lie, and how it goes on after a kill.
PLACES = ("pipeline.store.shards", "pipeline.store.storage", "pipeline.store.resume")


def step_modules(stage: str) -> set[str]:
    """The modules from which the script of a data stage takes its step: all but what runs it."""
    modules = {item.module for item in code_identity._parse(f"stages.{stage}")[1]}
    return {m for m in modules if not m.startswith((*NEUTRAL, "pipeline.sources", "pipeline.store"))}


STEPS = sorted(set().union(*map(step_modules, data_stages())))
# Media that come over the network do not depend on code: they would be fetched anew.
STEPS += sorted({sources.get(name).fetch.__module__ for name in source_names()})
# What reads shards again, and resumes from checkpoints.
TRAINING = ["models.training.loop", "models.inference.extract_step"]
TRAINING += map(tasks.tasks.module, tasks.tasks.names())
STEPS += TRAINING


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Files of a project; a function that hashes `pipeline.step` after some of them were changed."""

    def digest_of(changes: dict[str, str], module: str = "pipeline.step") -> str:
        for name, content in (FILES | changes).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        code_identity._parse.cache_clear()
        return code_digest(module)

    monkeypatch.setattr(code_identity, "ROOT", tmp_path)
    yield digest_of
    code_identity._parse.cache_clear()


@pytest.mark.parametrize(
    "step",
    [
        STEP.replace("one by one", "each alone"),
        STEP.replace("A step.", "Another docstring."),
        STEP.replace('    """Decode clips."""\n', ""),
        STEP.replace(
            "[decode(clip) for clip in clips]", "[\n        decode(clip)\n        for clip in clips\n    ]"
        ),
        STEP.replace("clips: list", "clips: 'list[dict]'").replace(" -> list", ""),
        STEP.replace("from pipeline.media import decode", "from .media import decode"),
        STEP + "if TYPE_CHECKING:\n    from pipeline.other import x\n",
    ],
)
def test_what_says_nothing_of_the_result_changes_nothing(project, step):
    assert project({"pipeline/step.py": step}) == project({})


@pytest.mark.parametrize(
    "changes",
    [
        {"pipeline/media/nested.py": FILES["pipeline/media/nested.py"].replace("SCALE = 2", "SCALE = 3")},
        {"pipeline/media/nested.py": FILES["pipeline/media/nested.py"].replace("SCALE = 2", "SCALE = 2.0")},
        {"pipeline/step.py": STEP.replace("clip in clips]", "clip in clips[1:]]")},
        {"pipeline/step.py": STEP.replace("    return", "    from pipeline import other\n    return")},
        {"pipeline/step.py": STEP.replace("pipeline.media ", "pipeline.other ")},
    ],
)
def test_what_changes_the_result_changes_the_hash(project, changes):
    assert project(changes) != project({})


def test_another_function_behind_the_same_name_is_noticed(project):
    """Both modules are imported before and after: only what the name means differs."""
    first = "from pipeline.media import decode\nfrom pipeline.other import decode as plain\n"
    second = "from pipeline.other import decode\nfrom pipeline.media import decode as plain\n"
    assert project({"pipeline/step.py": first}) != project({"pipeline/step.py": second})


def test_a_module_may_move(project):
    before = project({})
    moved = {"pipeline/new/__init__.py": "", "pipeline/new/media.py": FILES["pipeline/media/nested.py"]}
    moved["pipeline/media/__init__.py"] = "from pipeline.new.media import decode as decode\n"
    assert project(moved) == before
    assert project({"pipeline/elsewhere.py": STEP}, "pipeline.elsewhere") == before


def test_only_modules_of_the_project_are_hashed():
    with pytest.raises(ValueError, match="numpy: no module of this project"):
        code_digest("numpy")


@pytest.mark.parametrize("module", STEPS)
def test_a_step_does_not_import_what_runs_it(module):
    neutral = NEUTRAL if module in TRAINING else (*NEUTRAL, *PLACES)
    assert not [m for m in imported_modules(module) if m.startswith(neutral)]


def test_imports_are_found_as_python_finds_them():
    for module in imported_modules(*STEPS):
        path = code_identity._find_file(module)
        assert Path(importlib.util.find_spec(module).origin) == path
