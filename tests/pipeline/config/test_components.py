"""Keywords of components in params.yaml: read, checked, and what the classes take."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from models import registry
from models.audio import encoders as audio_encoders
from models.joint import encoders as joint_encoders
from models.losses import losses
from models.video import encoders as video_encoders
from pipeline.config import ROOT, components, read
from pipeline.config.components import KEYWORD_FOLDERS, load_keywords_schema, module_names
from pipeline.config.fields import LIBRARIES
from testing import defaults
from testing.project import Project

AUDIO, VIDEO = (1, 64, 100), (1, 64, 64, 3)
LIBRARY_OF = {module: library for library, module in LIBRARIES.items()}  # of several, the last
ADVERTISED = [(kind, LIBRARY_OF.get(name, name)) for kind in KEYWORD_FOLDERS for name in module_names(kind)]


@pytest.fixture
def networks(tmp_path):
    """Return, by kind and library, a network of it."""
    from testing import hf_models  # and transformers: not where no network of it is built

    def network(kind, library):
        if library != "hf":
            return "torchvision/squeezenet1_1"
        family = "wav2vec2" if kind == "audio" else "vit"
        return f"hf/{hf_models.write(tmp_path / family, family)}"

    return network


def build(kind, name, sizes):
    if kind == "losses":
        return losses.make(name, **sizes)
    if kind == "joint":
        return joint_encoders.make(name, AUDIO, VIDEO, **sizes)
    encoders, shape = (audio_encoders, AUDIO) if kind == "audio" else (video_encoders, VIDEO)
    features = [{"towers": {}, "dim": 4}] if name == "cached" else []
    return encoders.make(name, shape, 8, *features, **sizes)


def sample(schema):
    """A value that the schema allows: not the default where another one is as cheap to build."""
    if "enum" in schema and "default" not in schema:
        return "mean" if "mean" in schema["enum"] else schema["enum"][0]
    if "enum" in schema or "anyOf" in schema and schema.get("default") is not None:
        return schema["default"]
    if "anyOf" in schema:
        return sample(schema["anyOf"][0])
    if schema["type"] == "boolean":
        return not schema["default"]
    if schema["type"] == "array" and "default" not in schema:
        return [sample(schema["items"])] * schema["minItems"]
    return schema.get("default", 32 if schema["type"] == "integer" else 1.0)


@pytest.mark.parametrize(("kind", "name"), ADVERTISED)
def test_every_advertised_keyword_is_read_and_built(kind, name, tmp_path, request):
    sizes = {key: sample(schema) for key, schema in load_keywords_schema(kind, name)["properties"].items()}
    values = yaml.safe_load(defaults.PARAMS.read_text(encoding="utf-8"))
    place = values["losses"] if kind == "losses" else values["encoders"][kind]
    place[name] = sizes
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    params = read(tmp_path / "params.yaml")
    by_name = params.losses if kind == "losses" else getattr(params.encoders, kind)
    assert by_name[name] == sizes
    if name in LIBRARIES:
        name, sizes = request.getfixturevalue("networks")(kind, name), by_name[name]
    assert build(kind, name, sizes)


def test_libraries_are_those_of_the_registries():
    assert LIBRARIES == registry.LIBRARIES


def test_the_file_holds_what_the_classes_declare():
    assert json.loads(components.FILE.read_text(encoding="utf-8")) == components.collect_declarations()


@pytest.fixture
def copied(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(components, "ROOT", tmp_path)
    monkeypatch.setattr(components, "component_names", lambda kind: names(tmp_path, kind))
    return tmp_path / "models"


def names(root, kind):
    return [p.stem for p in (root / "models" / kind).glob("*.py") if not p.stem.startswith("_")]


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_changed_a_new_and_a_deleted_component_are_outdated(copied):
    assert components.find_outdated_components() == []
    replace(copied / "losses/triplet.py", '"""The triplet', '"""My triplet')
    assert components.find_outdated_components() == []
    replace(copied / "losses/triplet.py", "margin: PositiveFloat", "margin: float")
    (copied / "audio/mine.py").touch()
    (copied / "video/frame.py").unlink()
    (copied / "losses/bce.py").write_text("def broken(:")
    changed = ("audio/mine", "losses/bce", "losses/triplet", "video/frame")
    assert components.find_outdated_components() == [f"models/{name}.py" for name in changed]


# --- in a project where somebody works on components ----------------------------------------------------

MINE = '''"""A loss of one's own."""
from torch import nn

from models.losses import losses


@losses.register
class Mine(nn.Module):
    """Nothing."""

    def __init__(self, *, scale: float | None = None, power: {annotation} = 2) -> None:
        super().__init__()
'''
READ = """
import sys
from pipeline.config import read
params = read()
print(params.losses["triplet"], params.losses.get("mine"), "torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = Project.new(tmp_path_factory.mktemp("components") / "project")
    project.set({"towers.audio": [], "towers.video": []})  # names of networks are checked with their library
    return project


def python(project, *arguments):
    ended = subprocess.run([sys.executable, *arguments], cwd=project.root, capture_output=True, text=True)
    return (ended.stdout + ended.stderr).strip()


def test_components_are_checked_without_torch(project):
    assert python(project, "-c", READ) == "{'margin': 0.3} None False"


def test_a_component_that_is_not_in_the_file_is_asked(project):
    (project / "models/losses/mine.py").write_text(MINE.format(annotation="int"))
    try:
        values = yaml.safe_load((project / "params.yaml").read_text())["losses"]
        project.set({"loss": "mine", "losses": values | {"mine": {"scale": None, "power": 3}}})
        assert python(project, "-c", READ) == "{'margin': 0.3} {'scale': None, 'power': 3} True"
        project.set({"losses": values | {"mine": {"scale": "large"}}})
        assert "losses.mine.scale: 'large': input should be a valid number" in python(project, "-c", READ)
        # Nor is it a traceback, in any stage, where its class cannot be asked.
        (project / "models/losses/mine.py").write_text(MINE.format(annotation="nn.Module"))
        message = project.expect_error("source")
        assert message.startswith("ERROR: models/losses/mine.py: Mine: keyword power: its annotation Module")
        (project / "models/losses/mine.py").write_text("def broken(:")
        message = project.expect_error("source")
        assert message.startswith("ERROR: models/losses/mine.py: cannot be imported: invalid syntax")
    finally:
        (project / "models/losses/mine.py").unlink()
        project.set({"loss": "infonce", "losses": values})


def test_a_component_that_changed_since_is_asked(project):
    path = project / "models/losses/triplet.py"
    before = path.read_text()
    values = yaml.safe_load((project / "params.yaml").read_text())["losses"]
    try:
        replace(path, "margin: PositiveFloat", "margin: str")
        project.set({"losses": values | {"triplet": {"margin": "wide"}}})
        assert python(project, "-c", READ) == "{'margin': 'wide'} None True"
        message = python(project, "-m", "pipeline.config.schema", "--check")
        assert "components.json is not up to date (models/losses/triplet.py)" in message
    finally:
        path.write_text(before)
        project.set({"losses": values})
