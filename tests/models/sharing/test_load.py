"""`load` finds a model in a folder, a project, or on a hub, and says in one line why it does not."""

import json
import sys

import huggingface_hub
import pytest
import safetensors.torch
import torch

from app import export as command
from earsight import load
from models import checkpoint
from models.sharing import hub
from models.version import VERSION
from pipeline.errors import UserError
from testing.hub_server import TOKEN, HubServer, commit_of
from testing.untrained import built


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, model = tmp_path_factory.mktemp("dist") / "bells", built(video_encoder="shallow")
    about = {"version": VERSION, "chosen": {"epochs": 3, "best_epoch": 2}}
    checkpoint.save(path, model.module, model.config | about)
    return path


def same(model, folder) -> bool:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    return all(torch.equal(weights[k], v) for k, v in model.model.module.state_dict().items())


def fails(place, **how) -> str:
    """The one line that `load` answers with."""
    with pytest.raises(UserError) as e:
        load(place, **how)
    assert len(str(e.value).splitlines()) == 1
    return str(e.value)


# --- folders --------------------------------------------------------------------------------------------


def test_a_folder_a_project_and_what_lies_under_an_id(folder, tmp_path, monkeypatch):
    assert same(load(folder), folder) and same(load(str(folder)), folder)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "me").mkdir()
    for name in ("checkpoints", "me/bells"):
        (tmp_path / name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert same(load("."), folder) and same(load("me/bells"), folder)
    assert "leave it out" in fails("me/bells", revision="v1")
    (tmp_path / "checkpoints").unlink()
    assert "config.json is missing: train" in fails(".")


@pytest.mark.parametrize("place", ["./bells", "/no/such/folder", "a/b/c", "bells", "a b/c", "me//bells"])
def test_what_is_nowhere_could_be_three_things(place):
    said = fails(place)
    assert said.startswith(f"{place}: ")
    assert "folder" in said and "Git" in said and "user/name on Hugging Face" in said


def test_a_folder_without_a_model(tmp_path):
    assert "no model in this folder" in fails(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "model.safetensors is missing" in fails(tmp_path)


def test_another_version_says_which(folder, tmp_path):
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    right = json.loads((folder / "config.json").read_text())
    ours = f"this is {VERSION}"
    for changes, wanted in (
        (
            {"format": 2, "version": "9.1"},
            ("not of format 1", "Earsight 9.1 wrote it", ours, "train and export"),
        ),
        ({"format": None, "version": None}, ("not of format 1", "does not say its version", ours)),
        ({"inputs": ...}, ("config.json has no inputs", f"Earsight {VERSION} wrote it")),
        ({"video_shape": []}, (str(tmp_path), "fetch or export it again")),
        ({"train": None, "version": None}, (str(tmp_path), ours)),
        ({"audio_encoder": "cnn_large"}, ("unknown audio encoder 'cnn_large'", "fetch or export")),
        (
            {"encoders": right["encoders"] | {"audio": {"deep": 3}}, "version": "9"},
            ("'deep'", "Earsight 9 wrote"),
        ),
        ({"audio_encoder": "cnn"}, ("do not belong together", "fetch or export")),
    ):
        config = {k: v for k, v in (right | changes).items() if v is not ...}
        (tmp_path / "config.json").write_text(json.dumps(config))
        said = fails(tmp_path)
        assert all(part in said for part in wanted), said
    for text in ("[1]", "not JSON", "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        assert str(tmp_path) in fails(tmp_path)


def test_no_file_is_unpickled(folder, tmp_path):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert "not a model" in fails(tmp_path)


# --- Hugging Face ---------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch):
    server, constants = HubServer(), huggingface_hub.constants
    # What HF_ENDPOINT sets as the library is imported.
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "".join(template[1:]))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    # Its own storage protocol (Xet) has no stand-in; what it does without is Git LFS.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.stop()
    huggingface_hub.close_session()


def push(monkeypatch, capsys, *arguments) -> str:
    """What the command says, without its part of ONNX."""
    monkeypatch.setattr("models.sharing.export.write_onnx", lambda model, folder: {})
    monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
    command.export()
    return capsys.readouterr().out


def test_pushed_and_pulled(server, folder, tmp_path, monkeypatch, capsys):
    arguments = ["--checkpoint", folder, "--out", tmp_path / "dist", "--name", "bells"]
    said = push(monkeypatch, capsys, *arguments, "--push", "me/bells", "--private")
    assert f"{server.url}/me/bells" in said and server.private["me/bells"] == "private"
    first = server.repos["me/bells"][-1]
    assert first["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert b'load("me/bells")' in first["README.md"] and b"license: mit" in first["README.md"]
    server.repos["me/bells"][-1]["audio.onnx"] = b"of an earlier one"

    other = built(video_encoder="shallow", loss="bce")
    checkpoint.save(tmp_path / "other", other.module, other.config)
    arguments[1] = tmp_path / "other"
    push(monkeypatch, capsys, *arguments, "--push", "me/bells")  # is there: that is no fault
    assert "audio.onnx" not in server.repos["me/bells"][-1]

    server.asked.clear()
    found = load("me/bells")
    assert same(found, tmp_path / "other") and found.config["loss"] == "bce"
    files = {path.rpartition("/")[2] for path in server.asked if "/resolve/" in path}
    assert files == {"config.json", "model.safetensors"}
    assert load("me/bells", revision=commit_of(1)).config["loss"] == "infonce"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load("me/bells").config["loss"] == "bce"  # from the cache
    assert "HF_HUB_OFFLINE" in fails("me/others")


def test_what_a_hub_refuses_is_one_line(server, folder, monkeypatch):
    server.repos |= {"me/bells": [{"config.json": b"{}"}], "me/closed": [{"config.json": b"{}"}]}
    server.gated.add("me/closed")
    said = fails("me/nothing")
    assert "neither a folder" in said and f"me/nothing at {server.url} is not there, or private" in said
    assert "has no revision v9" in fails("me/bells", revision="v9")
    assert "is gated" in fails("me/closed")
    assert "model.safetensors is missing" in fails("me/bells")
    assert "'me/b..s'" in fails("me/b..s")
    for status, wanted in ((401, "refused (401)"), (404, "answers 404"), (500, "answers 500")):
        server.fails = status
        for ask in (lambda: load("me/new"), lambda: hub.push(folder, "me/new", False)):
            with pytest.raises(UserError, match="me/new at") as e:
                ask()
            assert wanted in str(e.value) and len(str(e.value).splitlines()) == 1
    server.fails = 0
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match=r"refused \(401\): log in"):
        hub.push(folder, "me/new", False)
    for repo in ("bells", "me/bells/x", "https://x.org/me/bells"):
        with pytest.raises(UserError, match="USER/REPO"):
            hub.check(repo)
    server.stop()
    huggingface_hub.close_session()
    for ask in (lambda: load("me/new"), lambda: hub.push(folder, "me/new", False)):
        with pytest.raises(UserError, match="ConnectError.*check the network") as e:
            ask()
        assert len(str(e.value).splitlines()) == 1
