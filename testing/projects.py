"""Fixtures: projects that several tests look at, each made once."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from testing.project import DATA_STAGES, STAGES, Project
from testing.recordings import record, sine
from testing.sandbox import sandbox

# Synthetic people, of the project `told`.
PEOPLE = {
    "input": "face",
    "data.source": "people",
    "data.people.people": 4,
    "data.people.clips": 48,
    "data.clip_seconds": 2.0,
    "audio.dtype": "uint8",
    "faces.enabled": True,
    "faces.size": 32,
    "faces.align": True,
}


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], Project]], Project]:
    """Have a project made once for all processes that run tests; each has a copy of it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def copy(name: str, make: Callable[[Path], Project]) -> Project:
        root = shared / f"once-{name}"
        with FileLock(f"{root}.lock"):
            if not (root / "done").exists():
                shutil.rmtree(root, ignore_errors=True)
                make(root / "project")
                (root / "done").touch()
        return Project(root / "project").copy(tmp_path_factory.mktemp(name) / "project")

    return copy


@pytest.fixture(scope="session")
def made(once, tmp_path_factory) -> Project:
    """The embedded data, all stages run, each where nothing is but what dvc.yaml lists for it.

    What a stage asked for lies in `trace/<stage>`, what it ended with in `said/<stage>`.
    """
    return once("made", lambda root: _alone(Project.new(root), STAGES, tmp_path_factory))


@pytest.fixture(scope="session")
def told(once, tmp_path_factory) -> Project:
    """Embedded people, whose faces and voices say what they feel: as `made`."""
    changes = {"task": "classification", "label": "emotion"} | PEOPLE
    return once("told", lambda root: _alone(Project.new(root, **changes), STAGES, tmp_path_factory))


@pytest.fixture(scope="session")
def masked(once, made: Project, tmp_path_factory) -> Project:
    """CAV-MAE without labels, on the data of `made`: the stages after those that make them."""

    def make(root: Path) -> Project:
        whole = made.copy(root)
        whole.set({"task": "pretraining"})
        return _alone(whole, STAGES[STAGES.index("statistics") :], tmp_path_factory)

    return once("masked", make)


def _alone(whole: Project, stages: tuple[str, ...], tmp_path_factory) -> Project:
    for folder in ("trace", "said"):
        (whole / folder).mkdir(exist_ok=True)
    for stage in stages:
        alone, outs = sandbox(whole, stage, tmp_path_factory.mktemp(stage) / "project")
        (whole / "said" / stage).write_text(alone.run(stage, trace=whole / "trace" / stage))
        for out in outs:
            (whole / out).parent.mkdir(parents=True, exist_ok=True)
            if (whole / out).is_dir():
                shutil.rmtree(whole / out)
            shutil.move(alone / out, whole / out)
    return whole


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of `made` for one test."""
    yield made.copy(tmp_path / "project")
    shutil.rmtree(tmp_path / "project")  # pytest would keep them, 30 MB each


@pytest.fixture(scope="session")
def tracked(made: Project, tmp_path_factory) -> Project:
    """A copy of `made` that DVC takes for up to date."""
    project = made.copy(tmp_path_factory.mktemp("tracked") / "project")
    project.do("dvc", "init", "--no-scm", "--quiet")
    project.do("dvc", "commit", "--force", "--quiet")
    return project


@pytest.fixture(scope="session")
def damaged(tmp_path_factory) -> Project:
    """A folder of videos, most of them damaged in some way, through all data stages.

    Two files vanish on the way, and `locked.flv` may not be read. `trace/<stage>`: what a stage asked for.
    """
    changes = {"data.source": "folder", "data.shard_size": 4}
    project = Project.new(tmp_path_factory.mktemp("damaged") / "project", **changes)
    videos = project / "videos"
    for name in ("good-1", "good-2", "locked", "vanishes-after-clips", "vanishes-after-download"):
        record(videos / f"{name}.flv", frames=45, sound=sine(1.5))
    whole = (videos / "good-1.flv").read_bytes()
    (videos / "truncated.flv").write_bytes(whole[: len(whole) // 2])
    (videos / "header.flv").write_bytes(whole[:40])
    (videos / "empty.flv").touch()
    (videos / "random.flv").write_bytes(random.Random(0).randbytes(20_000))
    (videos / "folder.flv").mkdir()
    (videos / "playlist.flv").write_text("#EXTM3U\n#EXTINF:1.5,\ngood-1.flv\n")
    (videos / "concat.flv").write_text("ffconcat version 1.0\nfile good-1.flv\nfile good-2.flv\n")
    (videos / "locked.flv").chmod(0)
    if os.geteuid() == 0:  # root may read everything, save where it gives up that right
        if not shutil.which("setpriv"):
            pytest.skip("root can read everything here")
        project.prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    (project / "trace").mkdir()
    project.run("clips", trace=project / "trace/clips")
    (videos / "vanishes-after-clips.flv").unlink()
    project.run("download", trace=project / "trace/download")
    (videos / "vanishes-after-download.flv").unlink()
    for stage in (*DATA_STAGES[1:], "split"):
        project.run(stage)
    return project


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> list[Project]:
    """A folder as of each published data set, through the stages that know of sources; traced like `made`."""
    files = {
        "crema_d": ["1001_IEO_HAP_LO.flv", "1002_DFA_SAD_XX.flv"],
        "voxceleb": ["faces/Ann/r/0.jpg", "voices/Ann/r/0.wav"],
    }
    lists = {"train": ["videos/train.csv"], "eval": [], "labels": "videos/l.csv", "ontology": "videos/o.json"}
    knobs = {f"data.audioset.{key}": value for key, value in (lists | {"classes": "all"}).items()}
    # Nobody listens there: what is asked for is missing, which is allowed here.
    knobs |= {"download.url": "http://127.0.0.1:9/{id}", "download.retries": 0, "download.max_missing": 1.0}
    project = Project.new(
        tmp_path_factory.mktemp("audioset") / "project", **{"data.source": "audioset"} | knobs
    )
    (project / "trace").mkdir()
    (project / "videos/train.csv").write_text('abc, 0.0, 10.0, "/m/a"\n')
    (project / "videos/l.csv").write_text('index,mid,display_name\n0,/m/a,"Speech"\n')
    (project / "videos/o.json").write_text('[{"id": "/m/a", "name": "Speech", "child_ids": []}]')
    for stage in ("clips", "download"):
        project.run(stage, trace=project / "trace" / stage)
    projects = [project]
    for source, names in files.items():
        project = Project.new(tmp_path_factory.mktemp(source) / "project", **{"data.source": source})
        (project / "trace").mkdir()
        for name in names:
            (project / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
            (project / "videos" / name).write_bytes(b"as good as any")
        for stage in ("clips", "download"):
            project.run(stage, trace=project / "trace" / stage)
        projects.append(project)
    return projects


@pytest.fixture(scope="session")
def traced(
    made: Project, told: Project, masked: Project, damaged: Project, published: list[Project]
) -> list[Project]:
    """Every project whose stages noted what they asked for."""
    return [made, told, masked, damaged, *published]
