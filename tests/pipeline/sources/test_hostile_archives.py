"""Damaged and hostile archives: each is read, a row with a reason, or one line."""

import os
import signal
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.media import members
from pipeline.sources import archive
from testing.archives import write_parquet, write_tar
from tests.pipeline.sources.test_archive import error_message, lines, outcomes, rows


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("suffix, program", [("gz", "gunzip"), ("bz2", "bunzip2"), ("xz", "unxz")])
def test_compressed_tars_are_refused(folder, suffix, program):
    with tarfile.open(f"0.tar.{suffix}", f"w:{suffix}") as tar:
        tar.addfile(tarfile.TarInfo("x.mp4"))
    assert program in error_message(f"0.tar.{suffix}")


def test_a_torn_tar_gives_what_is_before(folder):
    path = write_tar(folder / "0.tar", [(f"{i}.mp4", b"x" * 3000) for i in range(5)])
    content = path.read_bytes()
    path.write_bytes(content[:10_000])
    assert list(outcomes("0.tar").values()) == ["ok", "ok", "corrupt 0.tar is cut off in the middle of it"]
    assert lines("0.tar") == ["0.tar: cut off: the members before the end are used"]
    path.write_bytes(content[:7500] + b"?" * 8000)
    assert "damaged at byte" in lines("0.tar")[0] and len(rows("0.tar")) == 2
    path.write_bytes(b"no tar" * 200)
    assert "no tar" in error_message("0.tar")
    path.write_bytes(b"")
    assert "no tar" in error_message("0.tar")


def _special(name: str, member_type: bytes, **more) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = member_type, "/etc/passwd"
    for key, value in more.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def test_links_devices_and_sparse_members_are_rows_with_a_reason(folder):
    kinds = {
        "hard": tarfile.LNKTYPE,
        "link": tarfile.SYMTYPE,
        "null": tarfile.CHRTYPE,
        "pipe": tarfile.FIFOTYPE,
    }
    content = b"".join(_special(f"{name}.mp4", kind) for name, kind in kinds.items())
    content += _special("holes.mp4", tarfile.GNUTYPE_SPARSE)
    good = write_tar(folder / "good.tar", [("x.mp4", b"1")]).read_bytes()
    (folder / "0.tar").write_bytes(content + good)
    statuses = outcomes("0.tar")
    assert statuses.pop("x") == "ok"
    reasons = {text.removeprefix("refused ").partition(" in ")[0] for text in statuses.values()}
    assert reasons == {"a hard link", "a symbolic link", "a device", "a pipe", "a sparse file"}


def _pax(records: bytes, member_type: bytes = tarfile.XHDTYPE) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = member_type, len(records)
    return info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)


@pytest.mark.parametrize(
    "header, note",
    [
        (_pax(b"20 size=99999999999\n"), "cut off"),
        (_pax(b"12 size=-51\n"), "an invalid size"),
        (_pax(b"9999 path=x\n"), "an invalid pax header"),
        (_pax(b"1" * 100_000), "an invalid pax header"),
        (_pax(b"12 path=abc\n", tarfile.XGLTYPE), "a global name"),
        (_special("x", tarfile.XHDTYPE, size=1 << 40), "a header of"),
        (_special("x", tarfile.GNUTYPE_LONGNAME, size=8 << 30), "a header of"),
        (_special("x.mp4", tarfile.REGTYPE, size=-512), "a negative size"),
    ],
)
def test_headers_that_lie_end_the_list(folder, header, note):
    good = write_tar(folder / "good.tar", [("x.mp4", b"1")], tarfile.USTAR_FORMAT).read_bytes()
    (folder / "0.tar").write_bytes(good[:1024] + header + good)
    assert note in " ".join(lines("0.tar"))
    assert rows("0.tar")[0]["clip_id"] == "x"


def test_hostile_names(folder):
    names = [
        "../../etc/x.mp4",
        "/root/y.mp4",
        "-rf.mp4",
        "a::b.mp4",
        "tar://0+5//etc/passwd::z.mp4",
        "n\new.mp4",
    ]
    names += [".hidden.mp4", "._x.mp4", "ж" * 120 + ".mp4", "l" * 300 + ".mp4"]
    write_tar(folder / "0.tar", [(name, name.encode()) for name in names])
    table = rows("0.tar")
    assert len(table) == 8 and all(status == "ok" for status in outcomes("0.tar").values())
    for row in table:
        with members.open_member(row["video"]) as member:
            assert row["video"].endswith("::" + member.read().decode())
    path = write_tar(folder / "1.tar", [("\udcff.mp4", b"1"), ("x.mp4", b"1")], tarfile.GNU_FORMAT)
    assert [r["clip_id"] for r in rows(path.name)] == ["x"] and "not UTF-8" in lines(path.name)[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_tar_is_read_or_one_line(folder, data):
    members = [("x.mp4", b"1" * 700), ("x.json", b'{"label": 1}'), ("ж" * 60 + ".wav", b"2"), ("y.jpg", b"3")]
    content = bytearray(write_tar(folder / "fuzz.tar", members).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    (folder / "fuzz.tar").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        table = rows("fuzz.tar")
    except UserError as e:
        assert "\n" not in str(e)
        return
    for row in table:
        assert archive.fetch(row, None).status in ("ok", "corrupt", "refused", "unreadable")


def test_a_damaged_parquet_file_is_one_line(folder, monkeypatch):
    path = write_parquet(folder / "0.parquet", [{"video": {"bytes": b"1", "path": "a.mp4"}}], ("video",))
    content = bytearray(path.read_bytes())
    content[-300:-8] = bytes(292)
    path.write_bytes(content)
    assert "0.parquet" in error_message()
    monkeypatch.setattr(archive.isolated.parquet_clips, "list_clips", crash)
    assert "its reader crashed" in error_message()


def crash(_: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
