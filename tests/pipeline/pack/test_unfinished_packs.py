"""A killed pack, a full disk, a folder of something else: one line, and the same bytes at the end."""

import resource
import signal
import tarfile

import pytest

from pipeline.errors import UserError
from pipeline.pack import shard_files, values
from pipeline.pack.writer import Settings
from pipeline.store.output_folder import lock_folder
from testing.pack_project import (
    ALL,
    IN_PLACE,
    files,
    pack,
)

# --- a run that does not end ----------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", shard_files.FORMATS)
def test_a_killed_run_continues_and_ends_in_the_same_bytes(
    in_project, packs, tmp_path, file_format, monkeypatch
):
    settings, file_type = Settings(file_format, ALL, shard_clips=3), shard_files.FORMATS[file_format]
    add, n_added = file_type.add, [0]

    def add_or_stop(shard, sample):
        n_added[0] += 1
        if n_added[0] in (1, 5, 7, 12):
            raise KeyboardInterrupt
        return add(shard, sample)

    monkeypatch.setattr(file_type, "add", add_or_stop)
    out = tmp_path / "set"
    n_stops = 0
    while n_stops < 9:
        try:
            pack(out, settings)
            break
        except KeyboardInterrupt:
            n_stops += 1
            assert not [path for path in out.rglob("*") if path.suffix == ".tmp"]
            for name in ("data/.train-00000.tar.1-a.tmp", ".pack/.a.json.1-a.tmp", ".README.md.1-a.tmp"):
                (out / name).write_bytes(b"of a process that was killed")
    assert n_stops == 4
    assert files(out) == files(packs[file_format])
    n_before = n_added[0]
    (out / "data/val-00000").with_suffix(file_type.suffix).unlink()  # somebody deletes a shard
    pack(out, settings)
    assert files(out) == files(packs[file_format])
    assert n_added[0] - n_before == 3  # only its clips were written again


def test_a_full_disk_is_one_line(in_project, packs, tmp_path):
    for file_format, expected in packs.items():
        out, settings = tmp_path / file_format, Settings(file_format, ALL, shard_clips=3)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
        try:
            with pytest.raises(UserError) as e:
                pack(out, settings)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert len(str(e.value).splitlines()) == 1 and f"{out}" in str(e.value)
        assert "make room and run again" in str(e.value)
        assert not [path for path in out.rglob("*") if path.suffix == ".tmp"]
        pack(out, settings)
        assert files(out) == files(expected)


def test_a_folder_of_something_else_stays_as_it_is(in_project, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    for out in (other, other / "thesis.tex"):
        with pytest.raises(UserError, match="contains other files|is a file"):
            pack(out, Settings("parquet", ("sound",)))
    assert files(other) == {"thesis.tex": b""}
    out = tmp_path / "set"
    pack(out, Settings("parquet", ("sound",)))
    before = files(out)
    with pytest.raises(UserError, match="of other clips or other options: choose another OUT"):
        pack(out, Settings("parquet", ("sound",), shard_clips=2))
    with lock_folder(out), pytest.raises(UserError, match="another process writes there"):
        pack(out, Settings("parquet", ("sound",)))
    assert files(out) == before


def test_media_that_changed_or_vanished_are_one_line(in_project, tmp_path, monkeypatch):
    path, content = in_project.root / "my clip.MP4", in_project.media[IN_PLACE]
    settings = Settings("webdataset", ("media",))
    try:
        path.write_bytes(content + b"more")
        with pytest.raises(UserError, match="clip c10: its file changed since it was decoded: run dvc repro"):
            pack(tmp_path / "set", settings)
        path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----")  # shards of somebody else name any file
        with pytest.raises(UserError, match=r"clip c10: my clip\.MP4: Invalid data"):
            pack(tmp_path / "set", settings)
        monkeypatch.setattr(values, "MAX_FILE_BYTES", 100)
        path.write_bytes(content)
        with pytest.raises(
            UserError, match=r"clip c10: my clip\.MP4: has more than .*: use --with sound,frames"
        ):
            pack(tmp_path / "set", settings)
        monkeypatch.undo()
        monkeypatch.chdir(in_project.root)
        path.unlink()
        with pytest.raises(UserError, match=r"clip c10: my clip\.MP4: No such file.*: run dvc repro"):
            pack(tmp_path / "set", settings)
    finally:
        path.write_bytes(content)
    pack(tmp_path / "set", settings)


def test_members_of_tars_have_no_time_and_no_owner(packs):
    with tarfile.open(packs["webdataset"] / "data/train-00000.tar") as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar} == {(0, 0, 0, "", 0o644)}
