"""Names that look like options, and paths outside a folder, have no effect."""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from earsight import load
from pipeline.errors import UserError
from pipeline.media.local_files import as_local_files
from pipeline.sources import folder
from testing.recordings import record, sine
from tests.security.attempts import outcomes


def test_names_that_begin_with_a_dash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("-i.flv", "-f lavfi -i sine.flv", "--version.flv", "-rf/-y.flv")
    for name in names:
        path = tmp_path / "-videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        record(tmp_path / "plain.flv", 10, sound=sine(1.0)).rename(path)
    clips = folder.clips(SimpleNamespace(folder="-videos", pair="none")).table.to_pylist()
    assert len(clips) == len(names) and not [r for r in clips if r["clip_id"].startswith("-")]
    for row in clips:
        assert row["video"].startswith("./")
        assert [o.status for o in outcomes(row["video"])] == ["ok", "ok"], row["video"]


@pytest.mark.parametrize(
    "source",
    [
        "--upload-pack=touch canary; .git",
        "ext::sh -c 'touch canary' .git",
        "-oProxyCommand=touch canary@host:x.git",
        "ssh://-oProxyCommand=touch%20canary/x.git",
        "file:///nowhere.git",
    ],
)
@pytest.mark.parametrize("revision", [None, "--upload-pack=touch canary", "-h"])
def test_no_model_source_is_executed(tmp_path, monkeypatch, source, revision):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as e:
        load(source, revision=revision)
    assert len(str(e.value).splitlines()) == 1 and not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "path",
    [
        "../secret.flv",
        "a/../../secret.flv",
        "./../videos/../secret.flv",
        "/etc/passwd",
        "//etc/passwd",
        "C:\\secret.flv",
        "~/secret.flv",
        "file:///etc/passwd",
        "concat:a.flv|../secret.flv",
        "http://127.0.0.1/secret.flv",
        "a.flv\0../secret.flv",
    ],
)
def test_a_path_outside_the_folder_is_refused(tmp_path, path):
    record(tmp_path / "secret.flv", 5)
    (tmp_path / "videos/a").mkdir(parents=True)
    record(tmp_path / "videos/a.flv", 5)
    (tmp_path / "videos/clips.csv").write_text(f'path,clip_id\na.flv,good\n"{path}",bad\n')
    with pytest.raises(UserError, match="clips.csv: .*line 3"):
        folder.clips(SimpleNamespace(folder=str(tmp_path / "videos"), pair="none"))


def test_a_link_to_another_file_reveals_nothing_of_it(tmp_path):
    """Links are followed (docs/security.md): a file that is not media yields only a reason."""
    (tmp_path / "passwords").write_text("root:x:0:0:hunter2\n" * 50)
    (tmp_path / "a.flv").symlink_to(tmp_path / "passwords")
    for outcome in outcomes(tmp_path / "a.flv"):
        assert outcome.status in ("corrupt", "refused") and "root" not in outcome.detail


def test_names_in_media_shards_are_not_used_as_paths(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    names = ("../../evil.mp4", f"{tmp_path}/evil.mp4", "a.mp4/../../evil", ".", "..", "-y.-i")
    values = [{"audio": None, "video": {"bytes": b"x", "path": name}} for name in names]
    with as_local_files(values) as media:
        for item in media:
            assert Path(item.video).resolve().is_relative_to(tmp_path / "scratch")
            assert Path(item.video).read_bytes() == b"x" and not Path(item.video).name.startswith("-")
    assert os.listdir(tmp_path) == ["scratch"] and not os.listdir(tmp_path / "scratch")
