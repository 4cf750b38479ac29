"""`python -m app.pack`: its options, its mistakes, and the upload to Hugging Face."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from app import pack as command
from pipeline.pack.data_set import read_source
from pipeline.store import clip_table
from pipeline.store.atomic import write_table
from pipeline.store.metric_files import write_json
from testing.hub_server import HubServer, run_hub_server
from testing.in_process import run_command
from testing.pack_project import N, PackProject, make_pack_project


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> PackProject:
    return make_pack_project(tmp_path_factory.mktemp("clips") / "project")


def pack(project, *arguments) -> tuple[str, str]:
    """Run the command in the project. Returns its output and its error line."""
    return run_command(command.pack, project.root, *arguments)[1:]


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[HubServer]:
    yield from run_hub_server(tmp_path, monkeypatch)


def test_a_pack_is_one_command(project, tmp_path):
    out = tmp_path / "my set"
    printed, error = pack(project, out)
    assert not error and printed.splitlines() == [
        f"pack: {out}: {N - 2} clips in 3 shards, 2 left out (left_out.csv)",
        "pack: rights: those who made the files hold the rights; the folder names no licence",
    ]
    names = pq.read_schema(out / "data/train-00000.parquet").names
    assert (
        names[-2:] == ["sound", "frames"]
        and "quality_flags" in names
        and "# my set" in (out / "README.md").read_text(encoding="utf-8")
    )
    assert pack(project, out)[0] == printed  # nothing to do
    printed, _ = pack(project, tmp_path / "test", "--with", "labels", "--split", "test,val", "--name", "x")
    assert "5 clips in 2 shards, 1 left out (left_out.csv), 8 of other splits" in printed
    assert pq.read_schema(tmp_path / "test/data/test-00000.parquet").names == [
        name for name in names if name not in ("sound", "frames", "frame_times")
    ]


def test_a_mistake_is_one_line(project, tmp_path):
    for arguments, message in (
        (["--with", "sound,smell"], "--with: 'smell' is not one of sound, frames, media, labels"),
        (["--with", "labels,sound"], "--with: labels is for no media"),
        (["--split", "dev"], "--split: 'dev' is not one of train, val, test"),
        (["--split", ","], "--split: is empty"),
        (["--private"], "--private: needs --push"),
        (["--push", "me/my set"], "--push me/my set: must be USER/REPO"),
    ):
        printed, error = pack(project, tmp_path / "set", *arguments)
        assert not printed and message in error and len(error.splitlines()) == 1
        assert not (tmp_path / "set").exists()
    (tmp_path / "empty").mkdir()
    _, _, error = run_command(command.pack, tmp_path / "empty", "set")
    assert error == "ERROR: data/source.json: not there: run dvc repro in the project's root first"


@pytest.mark.parametrize("option", [["--shard-mb", "0"], ["--shard-clips", "0"], ["--shard-mb", "nan"]])
def test_limits_are_checked(option, capsys):
    with pytest.raises(SystemExit):
        command.parse_arguments(["set", *option])
    assert "must be" in capsys.readouterr().err


def test_push(project, tmp_path, server):
    out = tmp_path / "set"
    arguments = [out, "--with", "sound", "--shard-clips", "4", "--push", "me/bells"]
    printed, error = pack(project, *arguments, "--private")
    assert not error and f"{server.url}/datasets/me/bells" in printed.splitlines()[-1]
    assert server.private["me/bells"] == "private" and server.kinds["me/bells"] == "dataset"
    uploaded = server.repos["me/bells"][-1]
    local = {str(path.relative_to(out)): path for path in out.rglob("[!.]*") if path.is_file()}
    local = {name: path for name, path in local.items() if not name.startswith(".")}
    assert uploaded.keys() - {".gitattributes"} == local.keys()
    assert all(uploaded[name] == path.read_bytes() for name, path in local.items())
    assert b'load_dataset("me/bells"' in uploaded["README.md"] and b"# bells" in uploaded["README.md"]
    # Another pack replaces the shards of this one.
    pack(project, tmp_path / "tars", "--with", "sound", "--format", "webdataset", "--push", "me/bells")
    shards = {name for name in server.repos["me/bells"][-1] if name.startswith("data/")}
    assert shards == {f"data/{split}-00000.tar" for split in ("train", "val", "test")}
    server.private["me/bells"] = "public"
    _, error = pack(project, *arguments, "--private")
    assert error == "ERROR: me/bells: exists and is public: choose another name, or make it private there"


def test_media_of_youtube_are_not_published(project, tmp_path, server):
    source = project.root / "data/source.json"
    before = source.read_bytes()
    write_json({"source": "audioset", "folder": "videos"}, str(source))
    try:
        _, error = pack(project, tmp_path / "set", "--push", "me/set")
        assert "YouTube's terms do not allow to publish its media: use --private, or --with labels" in error
        assert not server.repos and not (tmp_path / "set").exists()
        printed, _ = pack(project, tmp_path / "set", "--push", "me/set", "--with", "labels")
        assert (
            "pack: rights: the lists are CC BY 4.0; the videos belong to those who uploaded them" in printed
        )
        assert "me/set" in server.repos
    finally:
        source.write_bytes(before)


def test_an_address_of_youtube_is_recognized(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for source, address, is_youtube in (
        ("new", "https://www.youtube.com/watch?v=x#t=3,13", True),
        ("new", "videos/www.youtube.com/a.mp4", False),
        ("folder", "https://youtu.be/x", False),  # described: own files
    ):
        write_json({"source": source}, "data/source.json")
        write_table(clip_table.from_rows([{"clip_id": "a", "video": address}]), Path("data/clips.parquet"))
        assert read_source().is_youtube is is_youtube
