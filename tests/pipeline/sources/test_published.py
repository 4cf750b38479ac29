"""Test what the sources of published lists share: where the media are, downloads, reading of lists."""

import gzip
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pipeline.config import read
from pipeline.errors import UserError
from pipeline.report.data_sources import describe_source
from pipeline.sources.published import downloads, in_place, list_files, media
from pipeline.sources.published.selection import split_conflicts
from pipeline.store import clip_table
from testing import defaults
from testing.archives import write_tar
from testing.video_server import Server, encode_video

PARAMS = read(defaults.PARAMS)
EXTRA = pa.schema([pa.field("video_id", pa.string())])


def table(folder, *places, where="folder"):
    """Return the rows of clips with these (id of the video, place), and the lines about their media."""
    data = PARAMS.data.model_copy(update={"folder": str(folder), "media": where})
    rows = [
        {"clip_id": f"c{i}", "labels": [], "video_id": video, "place": place}
        for i, (video, place) in enumerate(places)
    ]
    clips, lines = media.make_clips(rows, [], data, EXTRA)
    return clips.to_pylist(), lines


def test_a_clip_is_the_file_of_its_name_at_any_depth(tmp_path):
    for name in ("a/b/v_000001.mp4", "a/v_000001.wav", "w.wav", "w.jpg", "s.FLAC", "b/v_000001.mp4", "x.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = ("v_000001", "w", "s", "gone")
    clips, lines = table(tmp_path, *((name, media.Place(None, name, (1.0, 2.0))) for name in names))
    root = str(tmp_path)
    assert [(clip["audio"], clip["video"]) for clip in clips] == [
        (f"{root}/a/b/v_000001.mp4",) * 2,  # a video counts before a sound, and the first path
        (f"{root}/w.wav", f"{root}/w.jpg"),
        (f"{root}/s.FLAC", None),
        (f"{root}/gone.mp4",) * 2,
    ]
    assert {(clip["start"], clip["end"]) for clip in clips} == {(1.0, 2.0)}
    assert lines == [
        f"1 of 4 clips (25.0%) have no file in {root}, such as gone.mp4",
        f"1 media files belong to no clip, left out: {root}/x.mp4, …",
    ]
    statuses = [in_place.fetch(clip, None).status for clip in clips]
    assert statuses == ["ok", "ok", "ok", "unreadable"] and downloads.media_key(clips, PARAMS) is None
    before = downloads.stamp(clips[0])
    (tmp_path / "a/b/v_000001.mp4").write_bytes(b"longer")
    assert downloads.stamp(clips[0]) != before


def test_a_clip_is_the_member_of_its_name_in_an_archive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars/0.tar", [("a/v_000001.mp4", b"x"), ("a/other.mp4", b"x")])
    write_tar(tmp_path / "tars/1.tar", [("w.wav", b"xyz")])
    places = [(name, media.Place(None, name)) for name in ("v_000001", "w", "gone")]
    clips, lines = table(tmp_path / "tars", *places, where="archives")
    assert clips[0]["audio"] == clips[0]["video"] and clips[0]["video"].endswith("/0.tar::a/v_000001.mp4")
    assert clips[1]["audio"].endswith("/1.tar::w.wav") and clips[1]["video"] is None
    outcomes = [in_place.fetch(clip, None) for clip in clips]
    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "unreadable"]
    assert outcomes[1].extra["size"] == 3 and downloads.stamp(clips[1]) != downloads.stamp(clips[0])
    assert lines[0] == "1 of 3 clips (33.3%) have no file in the archives, such as gone.mp4"
    assert lines[1].startswith("1 media files belong to no clip, left out: tar://")


HOSTILE_IDS = ("../x", "http://127.0.0.1/x", "x&list=y", "", "a b", "x" * 65)


@pytest.mark.parametrize("where", ["folder", "youtube"])
def test_a_clip_with_an_invalid_id_or_no_place_is_refused(tmp_path, where):
    (tmp_path / "x.mp4").write_bytes(b"x")
    folder = tmp_path / "inner"
    folder.mkdir()
    places = [(video, media.Place((0.0, 1.0), video)) for video in HOSTILE_IDS]
    clips, lines = table(folder, *places, ("good", None), where=where)
    assert all(clip["audio"] is None and clip["video"] is None for clip in clips)
    assert {in_place.fetch(clip, None).status for clip in clips} == {"refused"}
    assert lines == ["7 of 7 clips have an invalid id, or an unknown place: the stage download refuses them"]
    names = {media.safe_name(video) for video in HOSTILE_IDS}
    assert all(clip_table.CLIP_ID.fullmatch(name) for name in names) and len(names) == len(HOSTILE_IDS)


def test_segments_are_downloaded_from_youtube(tmp_path, monkeypatch):
    """A local server stands for YouTube; the downloader is that of the source audioset."""
    monkeypatch.chdir(tmp_path)
    clips, lines = table(
        tmp_path,
        ("-good", media.Place((1.0, 4.0), "-good")),
        ("v-404", media.Place((0.0, 3.0), "v-404")),
        ("good", media.Place(None, "good")),
        where="youtube",
    )
    assert clips[0]["video"] == "https://www.youtube.com/watch?v=-good#t=1,4"
    assert [clip["start"] for clip in clips] == [None] * 3 and len(lines) == 1
    server = Server(encode_video(tmp_path / "video.mp4"))
    changes = {"url": f"{server.url}{{id}}.mp4", "height": 64, "per_minute": 1e5, "stall": 2.0, "retries": 0}
    params = SimpleNamespace(download=PARAMS.download.model_copy(update=changes))
    key = downloads.media_key(clips, params)
    assert (
        key == downloads.media_key(clips[:1], params) != downloads.media_key(clips, PARAMS)
    )  # another height
    try:
        assert downloads.stamp(clips[0]) is None
        downloads.collect(clips, params)
    finally:
        server.stop()
    outcomes = [downloads.load(clip, None) for clip in clips]
    assert [outcome.status for outcome in outcomes] == ["ok", "unavailable", "refused"]
    assert outcomes[0].value["video"]["bytes"]
    ids, statuses = [clip["clip_id"] for clip in clips], [outcome.status for outcome in outcomes]
    downloads.finish(pa.table({"clip_id": ids, "status": statuses}), params)
    assert not list((tmp_path / "data/downloads").glob("*.mkv"))  # the shards hold them now


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv.gz", b"no gzip", "cannot be read|damaged"),
        ("a.csv.gz", gzip.compress(b"a,b\n" * 1000)[:30], "damaged"),
        ("a.csv.gz", gzip.compress(b"a,b\n" * 1000), "over 0 MB when decompressed"),
        ("a.csv", b'"a', "broken quoting or not UTF-8"),
        ("a.csv", b"\xff\n", "broken quoting or not UTF-8"),
    ],
)
def test_a_damaged_list_is_an_error_of_one_line(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr(list_files, "MAX_BYTES", 1000)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"^key: .*{name}: .*({message})"):
        list(list_files.read_rows(str(tmp_path / name), "key"))


def test_rows_of_a_compressed_list_are_read(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b'a,"b, c"\n\nd,e\n'))
    rows = list(list_files.read_rows(list_files.find_list(str(tmp_path), "a.csv", "key"), "key"))
    assert rows == [(1, ["a", "b, c"]), (3, ["d", "e"])]
    with pytest.raises(UserError, match="key: no b.csv in"):
        list_files.find_list(str(tmp_path), "b.csv", "key")


def test_a_video_stays_in_the_most_important_of_its_splits():
    rows = [
        {"video_id": video, "split": split}
        for video, split in [
            ("a", "test"),
            ("a", None),
            ("b", "val"),
            ("b", "train"),
            ("c", "train"),
            ("a", "val"),
        ]
    ]
    assert split_conflicts(rows) == [rows[1], rows[3], rows[5]]


@pytest.mark.parametrize("source", ["vggsound", "ave", "music"])
def test_cards_say_that_the_media_are_of_youtube(source):
    """Whoever packs such clips as a data set must be told, also if they come from a copy."""
    assert describe_source(source).is_youtube
