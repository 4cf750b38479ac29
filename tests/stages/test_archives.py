"""The data stages on archives: the same values as the same files in a folder, whatever interrupts them."""

import json
import shutil
from pathlib import Path

import pytest

from testing.archives import write_parquet, write_tar
from testing.project import Project, wait_until
from testing.recordings import record, sine

N_FILES = 12
COPIES = 4  # of each file
STAGES = ("clips", "download", "wav", "frames")


@pytest.fixture(scope="module")
def folder_project(tmp_path_factory) -> Project:
    """Run the stages on a folder of videos, one of them torn."""
    root = tmp_path_factory.mktemp("archives") / "folder"
    project = Project.new(root, **{"data.source": "folder", "data.shard_size": 4, "data.clip_seconds": 1.0})
    for i in range(N_FILES):
        path = record(project / f"videos/{i:02d}-0.flv", frames=30, sound=sine(1.0, 200 + 30 * i))
        if i == 5:
            path.write_bytes(path.read_bytes()[:3000])
        for copy in range(1, COPIES):
            shutil.copy(path, project / f"videos/{i:02d}-{copy}.flv")
    return run_stages(project)


def run_stages(project: Project, stages: tuple[str, ...] = STAGES) -> Project:
    for stage in stages:
        project.run(stage)
    return project


@pytest.fixture(scope="module")
def archive_projects(folder_project, tmp_path_factory) -> dict[str, Project]:
    """Run the stages on two tars and on two Parquet files with the same videos."""
    videos = sorted((folder_project / "videos").glob("*.flv"))
    half = len(videos) // 2
    projects = {}
    for suffix in ("tar", "parquet"):
        root = tmp_path_factory.mktemp(suffix) / "project"
        changes = {"data.source": "archive", "data.archives": f"videos/{{000..001}}.{suffix}"}
        project = Project.new(root, **changes, **{"data.shard_size": 4, "data.clip_seconds": 1.0})
        for i, paths in enumerate((videos[:half], videos[half:])):
            path = project / f"videos/{i:03d}.{suffix}"
            if suffix == "tar":
                write_tar(path, [(p.name, p.read_bytes()) for p in paths])
            else:
                rows = [{"video": {"bytes": p.read_bytes(), "path": p.name}} for p in paths]
                write_parquet(path, rows, ("video",), group_size=7)
        projects[suffix] = run_stages(project)
    return projects


def values(project: Project) -> dict[str, list]:
    """Return clip, status, digest and duration of each clip in each stage, and the bytes of the frames."""
    columns = ("clip_id", "status", "digest", "seconds")
    stages: dict[str, list] = {
        stage: [[row[c] for c in columns] for row in project.rows(f"{stage}/index.parquet")]
        for stage in ("wav", "frames")
    }
    return stages | {"arrays": [p.read_bytes() for p in sorted((project / "data/frames").glob("*.npy"))]}


@pytest.mark.parametrize("suffix", ["tar", "parquet"])
def test_values_are_those_of_the_files_in_a_folder(folder_project, archive_projects, suffix):
    assert values(archive_projects[suffix]) == values(folder_project)
    assert not [p for p in archive_projects[suffix].root.rglob("*.flv")]  # nothing is unpacked


@pytest.mark.parametrize(("suffix", "stages"), [("tar", ["download", "wav", "frames"]), ("parquet", ["wav"])])
def test_a_killed_run_ends_with_the_same_bytes(archive_projects, tmp_path, suffix, stages):
    project = archive_projects[suffix].copy(tmp_path / "project")
    for stage in stages:
        folder = "media" if stage == "download" else stage
        shutil.rmtree(project / "data" / folder)
        process = project.start_stage(stage)
        wait_until((project / f"data/{folder}/00000.index.parquet").exists)
        process.kill()
        process.communicate(timeout=30)
        project.run(stage)
        assert project.files(f"data/{folder}") == archive_projects[suffix].files(f"data/{folder}")


def test_labels_from_a_list_and_an_archive_that_changes(archive_projects, tmp_path):
    project = archive_projects["tar"].copy(tmp_path / "project")
    lines = [f"{i:02d}-0,{'even' if i % 2 == 0 else 'odd;prime'}" for i in range(N_FILES)]
    Path(project / "labels.csv").write_text("\n".join(["id,labels", *lines, "missing,x"]))
    project.set({"data.labels": "labels.csv"})
    process = project.start_stage("clips")
    out, _ = process.communicate(timeout=60)
    assert "1 of 13 clips in labels.csv are not in the data" in out and "36 clips are not in" in out
    labels = {row["clip_id"]: row["labels"] for row in project.rows("clips.parquet")}
    assert labels["00-0"] == ["even"] and labels["01-0"] == ["odd", "prime"] and labels["01-1"] == []
    assert json.loads((project / "metrics/clips.json").read_text())["classes"] == 3
    # Its members are elsewhere now: no clip gets the sound of another.
    write_tar(project / "videos/000.tar", [("other.flv", b"0" * 5000), ("00-0.flv", b"1" * 60_000)])
    run_stages(project, ("download", "wav"))
    statuses = [row["status"] for row in project.rows("wav/index.parquet")]
    assert set(statuses[:24]) == {"unreadable"} and statuses.count("ok") == 24
