"""What `pip install .` installs: one package, `earsight`, which works without a clone, beside any other."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from models import checkpoint
from models.components import component_modules
from models.inference.extract_step import FeaturesStep
from models.version import VERSION
from pipeline.store.code_identity import code_digest
from testing import toy
from testing.hub_server import TOKEN, HubServer
from testing.recordings import record, sine
from testing.untrained import build_untrained_model

ROOT = Path(__file__).resolve().parents[1]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
OFFLINE = ["--no-deps", "--no-index", "--no-build-isolation", "--no-compile"]
INSTALLED = ("app/", "models/", "pipeline/")  # of the folders of this repository
add_prefix = runpy.run_path(str(ROOT / "setup.py"))["add_prefix"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder as site-packages is, with somebody's package `models`, into which pip installs Earsight."""
    folder = tmp_path_factory.mktemp("installed")
    source, target = folder / "source", folder / "site"
    for name in files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    (target / "models").mkdir(parents=True)
    (target / "models/__init__.py").write_text("OWNER = 'somebody'\n")
    left = source / "build/lib/models/left.py"  # by an earlier `pip install .` of another version
    left.parent.mkdir(parents=True)
    left.touch()
    subprocess.run([*PIP, *OFFLINE, "--target", target, source], check=True, timeout=120)
    return target


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder, video = tmp_path_factory.mktemp("dist") / "bells", toy.PARAMS.video
    model = build_untrained_model(video_encoder="cnn_avg", video_shape=(1, video.height, video.width, 3))
    checkpoint.save(folder, model.module, model.config | {"version": VERSION})
    return folder


def files() -> list[str]:
    """All files of this repository that git does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    return [name for name in listed if (ROOT / name).is_file()]


def write_bell(folder: Path) -> None:
    """A video of two seconds with sound."""
    folder.mkdir()
    record(folder / "bell.mp4", codec="mpeg4", sound=sine(2.0), sound_codec="aac")


def python(site: Path, folder: Path, *words: str | Path, **env: str) -> subprocess.CompletedProcess:
    """Run Python in another folder, with the packages of `site`."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)} | env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_one_name_is_installed_with_all_files(site):
    assert {path.name for path in site.iterdir()} == {"earsight", f"earsight-{VERSION}.dist-info", "models"}
    assert [path.name for path in (site / "models").iterdir()] == ["__init__.py"]
    expected = {name for name in files() if name.startswith(INSTALLED)} | {"__init__.py"}
    assert {str(p.relative_to(site / "earsight")) for p in (site / "earsight").rglob("*.*")} == expected


def test_a_file_is_embedded_beside_a_foreign_models(site, model, tmp_path):
    write_bell(tmp_path / "media")
    program = """
import sys, models, earsight
print(models.OWNER, earsight.__version__, {"torch", "huggingface_hub"} & sys.modules.keys())
loaded = earsight.load("me/bells")
vectors = loaded.embed("media/bell.mp4")
print(loaded.config["task"], *vectors["audio"].shape, *vectors["video"].shape)
print(sys.modules[earsight.load.__module__].__file__)
from earsight.models.components import component_modules
from earsight.models.inference.extract_step import FeaturesStep
from earsight.pipeline.store.code_identity import code_digest
print(code_digest(FeaturesStep, *component_modules(loaded.config)))
"""
    server = HubServer()
    server.repos["me/bells"] = [{path.name: path.read_bytes() for path in model.iterdir()}]
    hub = {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN}
    done = python(site, tmp_path, "-c", program, **hub)
    server.stop()
    assert not done.returncode, done.stderr
    config = checkpoint.load(model).config
    dim = config["train"]["embedding_dim"]
    # A clone makes the same vectors: those of one are reused by the other.
    digest = code_digest(FeaturesStep, *component_modules(config))
    loaded_from = site / "earsight/models/sharing/load.py"
    assert done.stdout.splitlines() == [
        f"somebody {VERSION} set()",
        f"matching {dim} {dim}",
        str(loaded_from),
        digest,
    ]


def test_the_command_features(site, model, tmp_path):
    write_bell(tmp_path / "media")
    words = ["media", "out", "--model", model, "--workers", "1"]
    done = python(site, tmp_path, "-m", "earsight.app.features", *words)
    assert not done.returncode, done.stderr
    assert "1 windows (audio" in done.stdout and (tmp_path / "out/features.parquet").is_file()


@pytest.mark.parametrize(
    "words",
    [["app"], ["app.search", "bell.wav"], ["app.failures", "--retry", "network"]],
    ids=lambda words: words[0],
)
def test_what_needs_a_project_says_so_in_one_line(words, site, tmp_path):
    done = python(site, tmp_path, "-m", f"earsight.{words[0]}", *words[1:])
    assert done.returncode == 1 and done.stderr.startswith("ERROR: ")
    assert len(done.stderr.splitlines()) == 1


def test_prefix_in_source():
    source = """'Run `python -m app.features`, not `python -m applause`.'
import re, pipeline.store as store  # é
def f():
    from models import audio; from pipeline import PREFIX
    from . import models
    return f"{PREFIX}models.audio", "models", "the models.audio"
"""
    expected = """'Run `python -m earsight.app.features`, not `python -m applause`.'
import re, earsight.pipeline.store as store  # é
def f():
    from earsight.models import audio; from earsight.pipeline import PREFIX
    from . import models
    return f"{PREFIX}models.audio", "models", "the models.audio"
"""
    assert add_prefix(source, "a.py") == expected


@pytest.mark.parametrize(
    "line", ["import models", "import pipeline.store", "x = 'models.audio'", "x = f'models.{y}'"]
)
def test_a_name_that_would_stay_wrong_stops_the_build(line):
    with pytest.raises(SystemExit, match=r"a\.py:2: "):
        add_prefix(f"\n{line}\n", "a.py")
