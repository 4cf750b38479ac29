"""`load` opens a model of a folder, a project or Hugging Face; each error is one line."""

import json
import shutil
import subprocess
import sys

import huggingface_hub
import pytest
import safetensors.torch
import torch
from dvc.repo import Repo

from app import export as command
from earsight import load
from models import checkpoint, hub, places
from models.version import VERSION
from pipeline.errors import UserError
from testing.hub_server import commit_of, run_hub_server
from testing.untrained import build_untrained_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, model = tmp_path_factory.mktemp("dist") / "bells", build_untrained_model(video_encoder="shallow")
    entries = {"version": VERSION, "chosen": {"epochs": 3, "best_epoch": 2}}
    checkpoint.save(path, model.module, model.config | entries)
    return path


def same(model, folder) -> bool:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    return all(torch.equal(weights[k], v) for k, v in model.model.module.state_dict().items())


def load_error(place, **options) -> str:
    """Return the error message of `load`, which must be one line."""
    with pytest.raises(UserError) as e:
        load(place, **options)
    assert len(str(e.value).splitlines()) == 1
    return str(e.value)


# --- folders --------------------------------------------------------------------------------------------


def test_a_folder_a_project_and_a_folder_named_like_an_id(folder, tmp_path, monkeypatch):
    assert same(load(folder), folder) and same(load(str(folder)), folder)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "me").mkdir()
    for name in ("checkpoints", "me/bells"):
        (tmp_path / name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert same(load("."), folder) and same(load("me/bells"), folder)
    assert "leave it out" in load_error("me/bells", revision="v1")
    (tmp_path / "checkpoints").unlink()
    assert "config.json is missing: train" in load_error(".")


@pytest.mark.parametrize("place", ["./bells", "/no/such/folder", "a/b/c", "bells", "a b/c", "me//bells"])
def test_a_missing_model_names_the_three_kinds_of_places(place):
    message = load_error(place)
    assert message.startswith(f"{place}: ")
    assert "folder" in message and "Git" in message and "user/name on Hugging Face" in message


@pytest.mark.parametrize(
    ("place", "name", "revision"),
    [
        ("../bells@v1", "../bells", "v1"),
        ("me/bells@feature/x", "me/bells", "feature/x"),
        ("https://me@example.org/bells.git@v1", "https://me@example.org/bells.git", "v1"),
        ("git@example.org:me/bells.git@v1", "git@example.org:me/bells.git", "v1"),
        ("https://me@example.org/bells.git", "https://me@example.org/bells.git", None),
        ("ssh://git@example.org:22/bells.git", "ssh://git@example.org:22/bells.git", None),
        ("git@example.org:me/bells.git", "git@example.org:me/bells.git", None),
        ("bells", "bells", None),
    ],
)
def test_a_place_may_end_in_a_revision(place, name, revision):
    assert places.split_revision(place) == (name, revision)


def test_an_at_sign_of_an_existing_folder_is_no_revision(folder, tmp_path, monkeypatch):
    (tmp_path / "bells@home").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert same(load("bells@home"), folder)
    assert "leave it out" in load_error("bells@home@v1")


def test_a_folder_without_a_model(tmp_path):
    assert "no model in this folder" in load_error(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "model.safetensors is missing" in load_error(tmp_path)


def test_another_version_says_which(folder, tmp_path):
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    right = json.loads((folder / "config.json").read_text())
    ours = f"this is {VERSION}"
    for changes, parts in (
        (
            {"format": 2, "version": "9.1"},
            ("not of format 1", "Earsight 9.1 wrote it", ours, "train and export"),
        ),
        ({"format": None, "version": None}, ("not of format 1", "does not say which version", ours)),
        ({"inputs": ...}, ("config.json has no inputs", f"Earsight {VERSION} wrote it")),
        ({"video_shape": []}, (str(tmp_path), "download or export it again")),
        ({"train": None, "version": None}, (str(tmp_path), ours)),
        ({"audio_encoder": "cnn_large"}, ("unknown audio encoder 'cnn_large'", "download or export")),
        (
            {"encoders": right["encoders"] | {"audio": {"deep": 3}}, "version": "9"},
            ("'deep'", "Earsight 9 wrote"),
        ),
        ({"audio_encoder": "cnn"}, ("do not belong together", "download or export")),
    ):
        config = {k: v for k, v in (right | changes).items() if v is not ...}
        (tmp_path / "config.json").write_text(json.dumps(config))
        message = load_error(tmp_path)
        assert all(part in message for part in parts), message
    for text in ("[1]", "not JSON", "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        assert str(tmp_path) in load_error(tmp_path)


def test_no_file_is_unpickled(folder, tmp_path):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert "not a model" in load_error(tmp_path)


# --- Git ------------------------------------------------------------------------------------------------


def test_a_revision_of_a_project(folder, tmp_path):
    """The model of a tag comes from DVC's cache; the folder has another one, or none."""
    project = tmp_path / "project"
    shutil.copytree(folder, project / "checkpoints")
    (project / "dvc.yaml").write_text("stages: {}\n")

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(project), *identity, *arguments], check=True, capture_output=True)

    git("init")
    with Repo.init(str(project)) as repo:
        repo.add(str(project / "checkpoints"))
    git("add", ".")
    git("commit", "--message", "bells")
    git("tag", "v1")
    shutil.rmtree(project / "checkpoints")
    for place in (f"{project}@v1", f"{project}@HEAD"):
        with places.open_folder(place) as downloaded:
            assert sorted(path.name for path in downloaded.iterdir()) == ["config.json", "model.safetensors"]
        assert same(load(place), folder)
    assert f"{project} at revision v2: its checkpoints cannot be downloaded" in load_error(f"{project}@v2")
    assert "config.json is missing" in load_error(project)


# --- Hugging Face ---------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch):
    yield from run_hub_server(tmp_path, monkeypatch)


def push(monkeypatch, capsys, *arguments) -> str:
    """Run the command without ONNX files. Returns what it prints."""
    monkeypatch.setattr("models.sharing.export.write_onnx", lambda model, folder: {})
    monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
    command.export()
    return capsys.readouterr().out


def test_push_and_pull(server, folder, tmp_path, monkeypatch, capsys):
    arguments = ["--checkpoint", folder, "--out", tmp_path / "dist", "--name", "bells"]
    message = push(monkeypatch, capsys, *arguments, "--push", "me/bells", "--private")
    assert f"{server.url}/me/bells" in message and server.private["me/bells"] == "private"
    first = server.repos["me/bells"][-1]
    assert first["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert b'load("me/bells")' in first["README.md"] and b"license: mit" in first["README.md"]
    server.repos["me/bells"][-1]["audio.onnx"] = b"of an earlier export"

    other = build_untrained_model(video_encoder="shallow", loss="bce")
    checkpoint.save(tmp_path / "other", other.module, other.config)
    arguments[1] = tmp_path / "other"
    push(monkeypatch, capsys, *arguments, "--push", "me/bells")  # an existing repository is no error
    assert "audio.onnx" not in server.repos["me/bells"][-1]

    server.requests.clear()
    model = load("me/bells")
    assert same(model, tmp_path / "other") and model.config["loss"] == "bce"
    files = {path.rpartition("/")[2] for path in server.requests if "/resolve/" in path}
    assert files == {"config.json", "model.safetensors"}
    assert load("me/bells", revision=commit_of(1)).config["loss"] == "infonce"
    assert load(f"me/bells@{commit_of(1)}").config["loss"] == "infonce"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load("me/bells").config["loss"] == "bce"  # from the cache
    assert "HF_HUB_OFFLINE" in load_error("me/others")


def test_errors_of_the_hub_are_one_line(server, folder, monkeypatch):
    server.repos |= {"me/bells": [{"config.json": b"{}"}], "me/closed": [{"config.json": b"{}"}]}
    server.gated.add("me/closed")
    message = load_error("me/nothing")
    assert (
        "neither a folder" in message
        and f"me/nothing at {server.url}: does not exist, or is private" in message
    )
    assert "has no revision v9" in load_error("me/bells", revision="v9")
    assert "is gated" in load_error("me/closed")
    assert "model.safetensors is missing" in load_error("me/bells")
    assert "'me/b..s'" in load_error("me/b..s")
    for status, part in ((401, "refused (401)"), (404, "answers 404"), (500, "answers 500")):
        server.error_status = status
        for request in (lambda: load("me/new"), lambda: hub.push(folder, "me/new", False)):
            with pytest.raises(UserError, match="me/new at") as e:
                request()
            assert part in str(e.value) and len(str(e.value).splitlines()) == 1
    server.error_status = 0
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match=r"refused \(401\): log in"):
        hub.push(folder, "me/new", False)
    for repo in ("bells", "me/bells/x", "https://x.org/me/bells"):
        with pytest.raises(UserError, match="USER/REPO"):
            hub.check_repository_name(repo)
    server.stop()
    huggingface_hub.close_session()
    for request in (lambda: load("me/new"), lambda: hub.push(folder, "me/new", False)):
        with pytest.raises(UserError, match="ConnectError.*check the network") as e:
            request()
        assert len(str(e.value).splitlines()) == 1
