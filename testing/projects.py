"""Fixtures: projects that several test files read. Each is made once."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from testing.archives import write_tar
from testing.permissions import obey_permissions
from testing.project import DATA_STAGES, STAGES, Project
from testing.recordings import record, sine
from testing.sandbox import sandbox

# Synthetic people: the settings of `people_project`.
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
def make_once(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], Project]], Project]:
    """Return a function that makes a project once for all test processes; each process gets a copy."""
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
def finished_project(make_once, tmp_path_factory) -> Project:
    """Run all stages on the synthetic data, each in a folder with only what dvc.yaml lists for it.

    `trace/<stage>` lists what a stage reads, `last_lines/<stage>` has the last line that it prints.
    """
    return make_once("finished", lambda root: _run_stages_alone(Project.new(root), STAGES, tmp_path_factory))


@pytest.fixture(scope="session")
def people_project(make_once, tmp_path_factory) -> Project:
    """As `finished_project`: classify the emotion of synthetic people by face and voice."""
    changes = {"task": "classification", "label": "emotion"} | PEOPLE
    return make_once(
        "people", lambda root: _run_stages_alone(Project.new(root, **changes), STAGES, tmp_path_factory)
    )


@pytest.fixture(scope="session")
def pretraining_project(make_once, finished_project: Project, tmp_path_factory) -> Project:
    """Pretrain CAV-MAE on the data of `finished_project`: run the stages after the data stages."""

    def make(root: Path) -> Project:
        project = finished_project.copy(root)
        project.set({"task": "pretraining"})
        return _run_stages_alone(project, STAGES[STAGES.index("statistics") :], tmp_path_factory)

    return make_once("pretraining", make)


@pytest.fixture(scope="session")
def cached_project(make_once, finished_project: Project) -> Project:
    """`finished_project`, whose encoders are now heads on stored features, after all later stages."""

    def make(root: Path) -> Project:
        project = finished_project.copy(root)
        project.set({"audio_encoder": "cached", "video_encoder": "cached"})
        for stage in ("train", "evaluate", "index", "report"):
            project.run(stage, trace=project / "trace" / stage)
        return project

    return make_once("cached", make)


def _run_stages_alone(project: Project, stages: tuple[str, ...], tmp_path_factory) -> Project:
    for folder in ("trace", "last_lines"):
        (project / folder).mkdir(exist_ok=True)
    for stage in stages:
        sandbox_project, outs = sandbox(project, stage, tmp_path_factory.mktemp(stage) / "project")
        (project / "last_lines" / stage).write_text(
            sandbox_project.run(stage, trace=project / "trace" / stage)
        )
        for out in outs:
            (project / out).parent.mkdir(parents=True, exist_ok=True)
            if (project / out).is_dir():
                shutil.rmtree(project / out)
            shutil.move(sandbox_project / out, project / out)
    return project


@pytest.fixture
def project(finished_project: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of `finished_project` for one test."""
    yield finished_project.copy(tmp_path / "project")
    shutil.rmtree(tmp_path / "project")  # pytest would keep them, 30 MB each


@pytest.fixture(scope="session")
def dvc_project(finished_project: Project, tmp_path_factory) -> Project:
    """A copy of `finished_project` in which DVC finds every stage up to date."""
    project = finished_project.copy(tmp_path_factory.mktemp("dvc") / "project")
    project.run_command("dvc", "init", "--no-scm", "--quiet")
    project.run_command("dvc", "commit", "--force", "--quiet")
    return project


@pytest.fixture(scope="session")
def damaged_videos_project(make_once) -> Project:
    """Run all data stages on a folder of videos, most of them damaged in some way.

    Two files vanish between stages, and `locked.flv` is unreadable. `trace/<stage>`: what a stage reads.
    """
    return make_once("damaged-videos", _make_damaged_videos_project)


def _make_damaged_videos_project(root: Path) -> Project:
    project = Project.new(root, **{"data.source": "folder", "data.shard_size": 4})
    project.prepare = obey_permissions
    videos = project / "videos"
    for name in ("good-1", "good-2", "locked", "vanishes-after-clips", "vanishes-after-download"):
        record(videos / f"{name}.flv", frames=45, sound=sine(1.5))
    content = (videos / "good-1.flv").read_bytes()
    (videos / "truncated.flv").write_bytes(content[: len(content) // 2])
    (videos / "header.flv").write_bytes(content[:40])
    (videos / "empty.flv").touch()
    (videos / "random.flv").write_bytes(random.Random(0).randbytes(20_000))
    (videos / "folder.flv").mkdir()
    (videos / "playlist.flv").write_text("#EXTM3U\n#EXTINF:1.5,\ngood-1.flv\n")
    (videos / "concat.flv").write_text("ffconcat version 1.0\nfile good-1.flv\nfile good-2.flv\n")
    (videos / "locked.flv").chmod(0)
    (project / "trace").mkdir()
    project.run("clips", trace=project / "trace/clips")
    (videos / "vanishes-after-clips.flv").unlink()
    project.run("download", trace=project / "trace/download")
    (videos / "vanishes-after-download.flv").unlink()
    for stage in (*DATA_STAGES[1:], "quality", "split"):
        project.run(stage)
    (videos / "locked.flv").chmod(0o644)  # for copies of the project
    return project


@pytest.fixture(scope="session")
def source_projects(tmp_path_factory) -> list[Project]:
    """Run the stages that read the source on a folder of each public data set; with `trace/<stage>`."""
    media = "as good as any"
    ave_lists = dict.fromkeys(("trainSet.txt", "valSet.txt", "testSet.txt"), "")
    files = {  # source -> name of a file -> its text
        "ave": {"a.mp4": media, "Annotations.txt": "Bark&a&good&0&5\n", **ave_lists},
        "crema_d": {"1001_IEO_HAP_LO.flv": media, "1002_DFA_SAD_XX.flv": media},
        "folder": {"pictures/Ann/0.jpg": media, "sounds/Ann/0.wav": media},
        "music": {"a.mp4": media, "solo.json": '{"videos": {"flute": ["a"]}}'},
        "vggsound": {"a_000001.mp4": media, "list.csv": "a,1,Bark,test\n", "vggss_test.csv": "a_000001\n"},
        "voxceleb": {"unzippedFaces/Ann/r/0.jpg": media, "wav/Ann/r/0.wav": media},
    }
    changes = {
        "ave": {"data.ave.lists": "videos"},
        "folder": {"data.pair": "category"},
        "music": {"data.music.lists": ["videos/solo.json"]},
        "vggsound": {
            "data.subset_lists": "videos",
            "data.vggsound.list": "videos/list.csv",
            "data.vggsound.subset": "vggss",
        },
    }
    lists = {"train": ["videos/train.csv"], "eval": [], "labels": "videos/l.csv", "ontology": "videos/o.json"}
    knobs = {f"data.audioset.{key}": value for key, value in (lists | {"classes": "all"}).items()}
    # No server listens there: every clip is missing, which `max_missing` allows.
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
    for source, texts in files.items():
        knobs = {"data.source": source} | changes.get(source, {})
        project = Project.new(tmp_path_factory.mktemp(source) / "project", **knobs)
        (project / "trace").mkdir()
        for name, text in texts.items():
            (project / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
            (project / "videos" / name).write_text(text)
        for stage in ("clips", "download"):
            project.run(stage, trace=project / "trace" / stage)
        projects.append(project)
    return [*projects, _read_archive(tmp_path_factory.mktemp("archive") / "project")]


def _read_archive(root: Path) -> Project:
    """Run the stages that read the source on a tar and a list of labels."""
    archive = {"data.source": "archive", "data.archives": "videos/*.tar", "data.labels": "videos/labels.csv"}
    project = Project.new(root, **archive)
    write_tar(project / "videos/0.tar", [("x_000030.flv", b"as good as any")])
    (project / "videos/labels.csv").write_text("x,30,dog barking,test\n")
    (project / "trace").mkdir()
    for stage in ("source", "clips", "download"):
        project.run(stage, trace=project / "trace" / stage)
    return project


@pytest.fixture(scope="session")
def traced_projects(
    finished_project: Project,
    people_project: Project,
    pretraining_project: Project,
    cached_project: Project,
    damaged_videos_project: Project,
    source_projects: list[Project],
) -> list[Project]:
    """Every project with `trace/<stage>`."""
    whole = [finished_project, people_project, pretraining_project, cached_project]
    return [*whole, damaged_videos_project, *source_projects]
