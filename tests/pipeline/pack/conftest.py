"""A project, and packs of its clips that several test files read."""

from pathlib import Path

import pytest

from pipeline.pack import shard_files
from pipeline.pack.writer import Settings
from testing.pack_project import ALL, PackProject, make_pack_project, pack


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> PackProject:
    return make_pack_project(tmp_path_factory.mktemp("clips") / "project")


@pytest.fixture
def in_project(project, monkeypatch) -> PackProject:
    """Change to the folder of the project."""
    monkeypatch.chdir(project.root)
    return project


@pytest.fixture(scope="module")
def packs(project, tmp_path_factory) -> dict[str, Path]:
    """The same clips in both formats, in shards of three clips. Their path has a space."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        for file_format in shard_files.FORMATS:
            folders[file_format] = tmp_path_factory.mktemp(file_format) / "my set"
            pack(folders[file_format], Settings(file_format, ALL, shard_clips=3))
    return folders
