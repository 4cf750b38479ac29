"""`python -m app.export` in a project that has run: the export gives the embeddings of the pipeline."""

import json

import numpy as np
import onnxruntime
import pytest

from app import export as command
from earsight import load
from models.inference.search import Library
from models.sharing.git_source import Origin
from pipeline.errors import UserError
from testing.in_process import run_command


def export(project, *arguments) -> tuple[str, str]:
    """Run the command in the project. Returns its output and its error line."""
    return run_command(command.export, project.root, *arguments)[1:]


@pytest.fixture(scope="module")
def exported(dvc_project, tmp_path_factory):
    out, err = export(dvc_project, "--out", tmp_path_factory.mktemp("dist"), "--name", "tiny")
    assert not err and out.startswith("export: ") and len(out.splitlines()) == 1
    return dvc_project, tmp_path_factory.getbasetemp() / out.split(": ")[1]


@pytest.fixture(scope="module")
def clip(dvc_project, tmp_path_factory):
    """Write a clip of the synthetic data as a file. Returns the file and its stored vectors."""
    clips = Library.open(dvc_project.root).clips
    media = {row["clip_id"]: row for row in dvc_project.rows("media/index.parquet")}
    row = media[clips[0]["clip_id"]]
    value = dvc_project.rows(f"media/{row['shard']:05d}.parquet")[row["row"]]
    path = tmp_path_factory.mktemp("clips") / "clip.flv"
    path.write_bytes((value["video"] or value["audio"])["bytes"])
    return path, {
        side: np.load(dvc_project / f"data/embeddings/{side}.npy")[0] for side in ("audio", "video")
    }


def agrees(model, clip) -> bool:
    path, stored = clip
    embeddings = model.embed(path)
    return embeddings.keys() == stored.keys() and all(
        np.allclose(embeddings[k], v, atol=1e-5) for k, v in stored.items()
    )


def test_an_export_answers_as_the_pipeline(exported, clip):
    _, folder = exported
    model = load(folder)
    assert agrees(model, clip)
    # As in the section ONNX of the card.
    audio, video = model.read_and_embed(clip[0]).data.read(np.array([0]))
    for side, x in (("audio", audio.astype("float32")), ("video", video)):
        session = onnxruntime.InferenceSession(folder / f"{side}.onnx")
        [embedding] = session.run(None, {side: x})
        assert np.allclose(embedding[0], clip[1][side], atol=1e-4)


def test_the_card_has_the_figures_of_the_run(exported):
    project, folder = exported
    card = (folder / "README.md").read_text()
    metrics = json.loads((project / "metrics/evaluate.json").read_text())
    counts = json.loads((project / "metrics/clips.json").read_text())
    part = metrics["retrieval"]["audio_to_video"]
    low, high = part["ci"]["map"]
    row = f"| {part['map']:.3f} | {low:.3f} to {high:.3f} | {part['chance']['map']:.3f} | {part['n']} |"
    assert row in card and "audio\\_to\\_video" in card
    assert f"synthetic musical instruments, rendered by Earsight: {counts['clips']} clips" in card
    assert (
        json.loads((folder / "labels.json").read_text())
        == json.loads((folder / "config.json").read_text())["labels"]
    )


def test_metrics_of_another_model_are_left_out(exported, tmp_path):
    project, folder = exported
    assert Origin.find(project / "checkpoints").metrics and not Origin.find(folder).metrics
    changed = project.copy(tmp_path / "project")
    inside = changed / "dist/tiny"
    (changed / "dist").mkdir()
    inside.symlink_to(changed / "checkpoints")
    assert Origin.find(inside).metrics  # the same weights
    (changed / "metrics/evaluate.json").write_text("{}")  # not the file of the evaluation in dvc.lock
    (changed / "data/clips.parquet").touch()
    origin = Origin.find(changed / "checkpoints")
    assert (
        not origin.metrics
        and "dvc repro evaluate" in origin.no_metrics
        and origin.data["source"] == "ensemble"
    )
    (changed / "metrics/clips.json").write_text("{}")
    assert not Origin.find(changed / "checkpoints").data
    config = changed / "checkpoints/config.json"
    config.write_text(config.read_text() + " ")  # as after another training
    assert "has no run" in Origin.find(changed / "checkpoints").no_metrics


def test_a_mistake_is_one_line(exported, tmp_path):
    project, _ = exported
    for arguments, message in (
        (["--checkpoint", "nowhere"], "nowhere/config.json: not there"),
        (["--name", "../x"], "--name '../x'"),
        (["--private"], "--private"),
        (["--push", "bells"], "--push bells: must be USER/REPO"),
        (["--out", ".", "--name", "data"], "exists and is not an export"),
    ):
        out, err = export(project, *arguments)
        assert not out and err.startswith("ERROR: ") and message in err and len(err.splitlines()) == 1


def test_a_project_in_git_with_a_remote_of_dvc(dvc_project, clip, tmp_path):
    project = dvc_project.copy(tmp_path / "project")
    for command_ in (
        ["git", "init", "--quiet"],
        ["git", "config", "user.email", "a@example.org"],
        ["git", "config", "user.name", "a"],
        ["dvc", "config", "--unset", "core.no_scm"],
        ["dvc", "remote", "add", "--quiet", "--default", "near", str(tmp_path / "storage")],
        ["dvc", "push", "--quiet", "checkpoints"],
        ["git", "add", "--force", "dvc.yaml", "dvc.lock", "params.yaml", ".dvc/config"],
        ["git", "commit", "--quiet", "--message", "trained"],
        ["git", "tag", "v1"],
        ["git", "rm", "--quiet", "--cached", "dvc.lock"],
        ["git", "commit", "--quiet", "--message", "gone"],
    ):
        project.run_command(*command_)
    url = f"file://{project.root}"
    assert agrees(load(url, revision="v1"), clip)
    assert agrees(load(project.root, revision="v1"), clip) and agrees(load(project.root), clip)
    for place, revision in ((url, None), (url, "v9"), (f"file://{tmp_path}/nothing.git", None)):
        with pytest.raises(UserError, match="its checkpoints cannot be downloaded") as e:
            load(place, revision)
        assert len(str(e.value).splitlines()) == 1
