"""`python -m app.search` in a project that has run: a file finds its own clip, by sound and by picture."""

import json
import re
import shutil

import numpy as np
import pytest

from app import search as command
from models.inference.search import Library
from testing.in_process import run_command
from testing.preloaded_process import PreloadedProcess
from testing.recordings import record, sine


@pytest.fixture(scope="module")
def clips(finished_project, tmp_path_factory):
    """Write some clips of the synthetic data as files: clip_id -> path."""
    folder = tmp_path_factory.mktemp("clips")
    indexed = {c["clip_id"] for c in finished_project.rows("embeddings/clips.parquet")}
    rows = [r for r in finished_project.rows("media/index.parquet") if r["clip_id"] in indexed][:4]
    paths = {}
    for row in rows:
        value = finished_project.rows(f"media/{row['shard']:05d}.parquet")[row["row"]]
        file = value["video"] or value["audio"]
        paths[row["clip_id"]] = folder / f"a {row['clip_id']}.mp4"  # a space in the name
        paths[row["clip_id"]].write_bytes(file["bytes"])
    return paths


def test_a_file_gives_the_vectors_of_its_clip(finished_project, clips):
    library = Library.open(finished_project.root)
    row = {c["clip_id"]: i for i, c in enumerate(library.clips)}
    for clip_id, path in clips.items():
        query = library.read_and_embed(path)
        for side, embedding in query.embeddings.items():
            stored = np.load(finished_project / f"data/embeddings/{side}.npy")[row[clip_id]]
            assert np.allclose(embedding, stored, atol=1e-5)
            assert library.nearest(embedding, f"{side}_to_{side}", 1)[0].clip_id == clip_id


def run_search(project, *arguments):
    """Run the command in the project. Returns (status, standard output, error line)."""
    return run_command(command.search, project.root, *arguments)


def test_the_command_itself(finished_project, clips):
    process = PreloadedProcess(
        finished_project.root, ["app.search", str(next(iter(clips.values()))), "-k", "2"]
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and not err and "audio to video" in out


def test_the_command_in_all_its_forms(finished_project, clips, tmp_path):
    (clip_id, path), *_ = clips.items()
    code, out, err = run_search(finished_project, path, *list(clips.values())[1:2], "--json", "-k", 3)
    assert code == 0 and not err
    first = json.loads(out)[0]
    assert len(json.loads(out)) == 2 and len(first["results"]) == 4
    assert first["results"]["audio_to_audio"][0]["clip_id"] == clip_id
    assert all(len(hits) == 3 for hits in first["results"].values())

    page = tmp_path / "page.html"
    code, out, err = run_search(finished_project, path, "--html", page, "--by", "audio", "--find", "video")
    assert code == 0 and not err
    text = page.read_text()
    assert "Sound to picture" in text and "Picture to sound" not in text and "data:image/jpeg" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)

    code, out, err = run_search(finished_project, path, "--by", "video", "--find", "video", "-k", 500)
    assert (
        code == 0
        and clip_id in out
        and len(finished_project.rows("embeddings/clips.parquet")) <= out.count("\n")
    )


def test_sounds_alone_pictures_alone_and_neither(finished_project, tmp_path):
    still, noise = tmp_path / "still.flv", tmp_path / "noise.flv"
    record(still, frames=30)
    (tmp_path / "not a video.mp4").write_text("text")
    library = Library.open(finished_project.root)
    query = library.read_and_embed(still)
    assert set(query.embeddings) == {"video"} and "no sound track" in query.missing["audio"]
    record(noise, frames=30, sound=sine(1.0))
    assert set(library.read_and_embed(noise).embeddings) == {"audio", "video"}
    for path, message in (
        (tmp_path / "not a video.mp4", "neither sound nor picture"),
        (tmp_path / "gone.mp4", "No such file"),
        (tmp_path, "is a directory"),
    ):
        code, out, err = run_search(finished_project, path)
        assert code == 1 and message in err and len(err.splitlines()) == 1 and not out
    code, out, err = run_search(finished_project, tmp_path / "gone.mp4", still, "--json")
    assert code == 1 and "gone.mp4" in err and json.loads(out)[0]["file"] == str(still)
    code, _, err = run_search(finished_project, still, "--by", "audio")
    assert code == 1 and "cannot be searched so: it has no sound" in err


def test_an_index_of_other_clips_is_an_error(finished_project, tmp_path, clips):
    project = finished_project.copy(tmp_path / "project")
    shutil.copy(project / "data/embeddings/video.npy", tmp_path / "video.npy")
    np.save(project / "data/embeddings/video.npy", np.load(tmp_path / "video.npy")[1:])
    code, _, err = run_search(project, next(iter(clips.values())))
    assert code == 1 and "run dvc repro index" in err
    shutil.rmtree(project / "data/embeddings")
    code, _, err = run_search(project, next(iter(clips.values())))
    assert code == 1 and "run dvc repro index" in err
