"""With `engine.storage`, the report, app.search and the page show pictures and play sounds, or say why."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import fsspec
import numpy as np
import pytest

from app.runs import THIS_PROJECT, Runs
from pipeline.errors import UserError
from pipeline.store.shards import read_index, shard_locations
from testing.preloaded_process import PreloadedProcess
from testing.project import Project
from tests.app.test_app import browsers, chromium, get, serving  # noqa: F401

# What reads a storage is the same in all of them: the slow tests run with one.
only_s3 = pytest.mark.parametrize("stored", ["s3"], indirect=True)
STAGES = ("wav", "spectrogram", "frames")
CLIPS = f"/clips/{quote(THIS_PROJECT)}"


def run(project: Project, *command: str) -> tuple[int, str]:
    """Run a command that has access to the storage. Returns its exit status and output."""
    env = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "EARSIGHT_"))}
    process = PreloadedProcess(project.root, [*command], env)
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


@pytest.fixture(scope="module", params=["folder", "s3"])
def stored(request, finished_project, s3, tmp_path_factory) -> Iterator[Project]:
    """Copy the project `finished_project` and move its shards into a storage."""
    folder = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARSIGHT_CACHE", str(folder / "cache"))
        project = finished_project.copy(folder / "project")
        storage = s3 if request.param == "s3" else f"file://{folder}/nfs"
        project.set({"engine.storage": storage})
        for stage in STAGES:
            status, output = run(project, f"stages.{stage}")
            assert status == 0 and "; 0 made" in output, output
            assert not [p for p in (project / f"data/{stage}").iterdir() if p.suffix != ".parquet"]
        yield project


@contextmanager
def shards_deleted(project: Project, stage: str) -> Iterator[str]:
    """Delete the shards of a stage; make them again at the end. Yields the shard of the clip in row 0."""
    index = read_index(project / f"data/{stage}")
    for place in shard_locations(index):
        system, path = fsspec.core.url_to_fs(place)
        system.rm(path)
    shutil.rmtree(os.environ["EARSIGHT_CACHE"], ignore_errors=True)
    clip = project.rows("embeddings/clips.parquet")[0]["clip_id"]
    yield shard_locations(index)[index["shard"][index["clip_id"].to_pylist().index(clip)].as_py()]
    status, output = run(project, f"stages.{stage}")  # dvc repro --force --single-item
    assert status == 0 and "; 0 made" not in output, output


def test_the_report_is_the_same(finished_project, stored):
    (stored / "report/index.html").unlink()
    status, output = run(stored, "stages.report")
    assert status == 0, output
    page = (stored / "report/index.html").read_bytes()
    assert page == (finished_project / "report/index.html").read_bytes() and b"data:image/jpeg" in page


def test_the_page_shows_and_plays_the_same(finished_project, stored):
    local_runs, stored_runs = Runs(finished_project.root), Runs(stored.root)
    try:
        for row in range(len(local_runs[THIS_PROJECT].clips)):
            assert np.array_equal(
                local_runs[THIS_PROJECT].read_image(row), stored_runs[THIS_PROJECT].read_image(row)
            )
            assert local_runs[THIS_PROJECT].read_wav(row) == stored_runs[THIS_PROJECT].read_wav(row)
    finally:
        local_runs.close()
        stored_runs.close()


@only_s3
@pytest.mark.parametrize("stage", ["frames", "wav"])
def test_a_shard_that_is_missing_is_one_line(stored, tmp_path, stage):
    picture = tmp_path / "wall.png"
    shutil.copy(next((stored / "metrics").glob("*.jpg")), picture)
    with shards_deleted(stored, stage) as place:
        remedy = f"then run dvc repro --force --single-item {stage}"
        for command in (
            ("stages.report",),
            ("app.search", str(picture), "--html", str(tmp_path / "page.html")),
        ):
            status, output = run(stored, *command)
            lines = output.splitlines()
            assert status == 1 and len(lines) == 1, output
            assert (
                lines[0].startswith("ERROR: clip ") and f"/{stage}/0" in output and lines[0].endswith(remedy)
            )
        runs = Runs(stored.root)
        with pytest.raises(UserError, match=f"^clip .*{place}.*{remedy}$"):
            runs[THIS_PROJECT].read_image(0) if stage == "frames" else runs[THIS_PROJECT].read_wav(0)
        runs.close()
    status, output = run(stored, "stages.report")
    assert status == 0, output


@only_s3
def test_the_page_answers_over_http(stored, tmp_path):
    shutil.rmtree(os.environ["EARSIGHT_CACHE"], ignore_errors=True)
    with serving(stored.root, tmp_path) as app:
        status, picture = get(app, f"{CLIPS}/0.jpg")
        assert status == 200 and picture[:2] == b"\xff\xd8"
        status, sound = get(app, f"{CLIPS}/0.wav")
        assert status == 200 and sound[:4] == b"RIFF"
        with shards_deleted(stored, "wav") as place:
            status, output = get(app, f"{CLIPS}/0.wav")
            assert status == 404 and output.startswith(b"clip ") and place.encode() in output
            assert b"cannot be reached" not in output


@browsers
@only_s3
def test_the_browser_shows_pictures_or_one_line(stored, chromium, tmp_path):  # noqa: F811
    with serving(stored.root, tmp_path) as app:

        def visit():
            tab = chromium.new_page()
            tab.goto(app.url)
            tab.wait_for_selector("#examples .es-card", timeout=60_000)
            return tab

        tab = visit()
        tab.wait_for_function(
            "[...document.querySelectorAll('#examples img')].every(i => i.naturalWidth > 0)"
        )
        tab.click("#examples .es-play >> nth=0")
        tab.wait_for_selector("#examples .playing")
        assert not tab.locator(".es-failed").count()
        with shards_deleted(stored, "wav"):
            tab = visit()
            tab.click("#examples .es-play >> nth=0")
            tab.wait_for_selector("#examples .es-failed")
            assert "dvc repro --force --single-item wav" in tab.inner_text("#examples .es-failed")
        with shards_deleted(stored, "frames"):
            tab = visit()
            tab.wait_for_selector("#examples .es-failed")
            tab.wait_for_timeout(500)
            assert tab.locator("#examples .es-failed").count() == 1  # not one for each picture
            assert "dvc repro --force --single-item frames" in tab.inner_text("#examples .es-failed")
