"""Members of archives through the decoders: the same values as the same files in a folder."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.media import members
from pipeline.media.decoders import Decoding
from pipeline.media.files import Media
from pipeline.media.frames import FramesStep
from pipeline.media.members import raw_archive
from pipeline.media.wav import WavStep
from pipeline.pack import values
from pipeline.sources import archive, folder
from pipeline.store import locations
from pipeline.store.status import OK
from testing.archives import write_parquet, write_tar
from testing.recordings import record, sine

WAV = WavStep(SimpleNamespace(sample_rate=8000), 1.0)
FRAMES = FramesStep(SimpleNamespace(frames=2, height=32, width=32), 1.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """Two good videos, one that is cut off, a sound, a picture, a playlist, no media and an empty file."""
    root = tmp_path_factory.mktemp("files")
    paths = [record(root / f"{i}.flv", frames=30 + i, sound=sine(1.0, 300 + 100 * i)) for i in range(2)]
    content = paths[0].read_bytes()
    (root / "cut.flv").write_bytes(content[: len(content) // 2])
    paths.append(root / "cut.flv")
    paths.append(record(root / "sound.wav", frames=0, sound=sine(1.0), sound_codec="pcm_s16le"))
    paths.append(record(root / "picture.png", frames=1, codec="png", form="rgb24", format="image2"))
    for name, text in (("list.m3u8", b"#EXTM3U\n0.flv\n"), ("none.mp4", b"none" * 100), ("empty.mp4", b"")):
        (root / name).write_bytes(text)
        paths.append(root / name)
    return paths


def decode(locations: list[str]) -> list[tuple]:
    """Return (status, value) of the sound and of the frames of each file."""
    clips = [{"start": None, "end": None}] * len(locations)
    media = [Media(location, location) for location in locations]
    outcomes = [*WAV(clips, media), *FRAMES(clips, media)]
    return [(o.status, o.value.tobytes() if isinstance(o.value, np.ndarray) else o.value) for o in outcomes]


@pytest.fixture(scope="module")
def expected(files) -> list[tuple]:
    result = decode([str(path) for path in files])
    assert [status for status, _ in result].count(OK) == 8
    return result


def tar_locations(path: str, names: list[str]) -> list[str]:
    index = archive.tar_index.list_members(path)
    locations = {m.name: str(members.TarMember(m.offset, m.size, path, m.name)) for m in index.members}
    return [locations[name] for name in names]


@pytest.fixture(scope="module")
def tar(files, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tar") / "0.tar"
    # The list only takes media by extension; as in a folder, the content decides.
    return write_tar(path, [(p.name.replace("m3u8", "mp4"), p.read_bytes()) for p in files])


@pytest.fixture(scope="module")
def parquet(files, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("parquet") / "0.parquet"
    rows = [{"video": {"bytes": p.read_bytes(), "path": p.name}} for p in files]
    return write_parquet(path, rows, ("video",), group_size=3)


def parquet_locations(path: str, files: list[Path]) -> list[str]:
    return [
        str(members.ParquetMember(i // 3, i % 3, "video.bytes", path, p.name)) for i, p in enumerate(files)
    ]


def names(files: list[Path]) -> list[str]:
    return [p.name.replace("m3u8", "mp4") for p in files]


def test_a_member_of_a_tar_is_decoded_as_a_file(files, tar, expected):
    assert decode(tar_locations(str(tar), names(files))) == expected


def test_a_value_of_parquet_is_decoded_as_a_file(files, parquet, expected):
    results = decode(parquet_locations(str(parquet), files))
    empty = len(files) - 1  # Parquet tells an empty file from none by nothing
    assert [f for i, f in enumerate(results) if i % len(files) != empty] == [
        e for i, e in enumerate(expected) if i % len(files) != empty
    ]
    backwards = decode(parquet_locations(str(parquet), files)[::-1])
    assert backwards[: len(files)] == results[: len(files)][::-1]


def status_of(location: str) -> tuple[str, str]:
    """Return the status and the reason of the sound of a member."""
    (outcome,) = WAV([{"start": None, "end": None}], [Media(location, location)])
    return outcome.status, outcome.detail


def test_an_archive_that_changed_gives_no_other_clip(files, tmp_path):
    contents = [(p.name, files[0].read_bytes()) for p in files[:2]]  # of equal sizes
    path = str(write_tar(tmp_path / "0.tar", contents))
    locations = tar_locations(path, [name for name, _ in contents])
    write_tar(tmp_path / "0.tar", contents[::-1])
    status, detail = status_of(locations[0])
    assert status == "unreadable" and "0.tar has changed" in detail
    (tmp_path / "0.tar").write_bytes(b"short")
    assert folder.check_file(locations[1]).status == "unreadable"
    (tmp_path / "0.tar").unlink()
    assert folder.check_file(locations[0]).status == "unreadable"
    assert status_of(locations[0])[0] == "unreadable"


@pytest.mark.parametrize(
    "location",
    [
        "tar://x",
        "tar://0+5//etc/passwd::a.wav",
        "tar://-1+5//etc/passwd::a.wav",
        "tar://512+5//dev/zero::a.wav",
        "tar://512+5//dev::a.wav",
        "tar://999999999999999999+5//etc/passwd::a.wav",
        "parquet://0.0.audio/x",
        "parquet://0.0.audio//etc/passwd::a.wav",
        "parquet://0.0.audio//dev/zero::a.wav",
        "tar://512+5/file:///etc/passwd::a.wav",
    ],
)
def test_a_location_reads_nothing_but_members(location):
    status, detail = status_of(location)
    assert status != OK and detail and "root:" not in detail


def test_rows_and_columns_that_are_not_there(parquet):
    for group, row, column in ((9, 0, "video.bytes"), (0, 9, "video.bytes"), (0, 0, "nothing")):
        status, detail = status_of(str(members.ParquetMember(group, row, column, str(parquet), "a.wav")))
        assert status == "corrupt" and detail


def test_no_handle_is_open_after_decoding(files, tar):
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").exists():
        pytest.skip("no list of open files")
    locations = tar_locations(str(tar), names(files))
    decode(locations)
    before = descriptors()
    decode(locations)
    assert descriptors() == before


def test_a_parquet_file_is_read_page_by_page(tmp_path):
    """64 values of 1 MB are in one row group: at most a few of them are in memory."""
    cells = [{"video": {"bytes": bytes([i]) * (1 << 20), "path": None}} for i in range(64)]
    write_parquet(tmp_path / "0.parquet", cells, ("video",), group_size=64, use_dictionary=False)
    code = """
import resource
from pipeline.media.members import ParquetMember, open_member, parquet_values
first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for row in range(64):
    assert open_member(str(ParquetMember(0, row, "video.bytes", "0.parquet", "x"))).read(1)[0] == row
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) // 1024)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert int(out.stdout) < 24  # MB


@pytest.mark.parametrize("n_reads", [2, 3, 4])
def test_a_failure_in_the_middle_of_a_member_is_a_reason(files, tar, monkeypatch, n_reads):
    location = tar_locations(str(tar), names(files))[0]
    reads: list[int] = []

    def fail(self, position: int, length: int) -> bytes:
        reads.append(length)
        if len(reads) > n_reads:
            raise members.MediaError("network", "0.tar: cannot be reached")
        return os.pread(self.descriptor, length, position)

    monkeypatch.setattr(raw_archive._LocalArchive, "read_at", fail)
    assert status_of(location) == ("network", "0.tar: cannot be reached")


def test_locations_are_text_and_back():
    for member in (
        members.TarMember(512, 9, "s3://b/x y.tar", "a/b::c\n.mp4"),
        members.ParquetMember(1, 2, "a b/ж.bytes", "/d/0.parquet", "x.wav"),
    ):
        assert locations.parse(str(member)) == member
        assert locations.file_path(str(member)) == member.archive
    assert locations.file_path("./tar:/x.mp4") == "./tar:/x.mp4" and not members.is_member("./tar://x")


def test_a_member_is_packed_as_a_file(files, tar, parquet):
    tar_location = tar_locations(str(tar), names(files))[0]
    for location, size in (
        (tar_location, files[0].stat().st_size),
        (parquet_locations(str(parquet), files)[0], None),
    ):
        outcome = folder.fetch({"audio": location, "video": location}, None)
        assert outcome.extra["size"] == size
        sample = values.Sample({"clip_id": "a"}, None, [])
        values._add_media(sample, outcome.value, size)
        assert sample.media.content == files[0].read_bytes() and sample.media.suffix == ".flv"


def test_the_ffmpeg_program_gets_a_copy(files, tar, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    location = tar_locations(str(tar), names(files))[0]
    decoded = []
    for path in (location, str(files[0])):
        step = WavStep(WAV.audio, WAV.clip_seconds, Decoding("ffmpeg"))
        (outcome,) = step([{"start": None, "end": None}], [Media(path, path)])
        assert outcome.status == OK, outcome.detail
        decoded.append(outcome.value)
    assert decoded[0] == decoded[1] and not list(tmp_path.iterdir())
