"""A pack has every clip or the reason why not, and other libraries read it."""

import csv
import hashlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from markdown_it import MarkdownIt

from pipeline.errors import UserError
from pipeline.pack import features, shard_files, writer
from pipeline.pack.selection import select
from pipeline.pack.values import File, Sample
from pipeline.pack.writer import Settings
from pipeline.store.atomic import write_table
from testing.pack_project import (
    DOTTED,
    HOSTILE,
    IN_PLACE,
    NO_FRAMES,
    NO_SOUND,
    NO_SPLIT,
    NOTHING,
    PAIRED,
    N,
    clip_id,
    pack,
    split,
)


def left_out(folder: Path) -> list[dict[str, str]]:
    with open(folder / "left_out.csv", newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


# --- which clips ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("contents", [("sound", "frames"), ("sound",), ("media",), ()])
def test_every_clip_is_in_the_pack_or_in_the_list(in_project, tmp_path, contents):
    packed = pack(tmp_path / "set", Settings("parquet", contents))
    clips = pq.read_table(tmp_path / "set/clips.parquet").to_pylist()
    whole = {row["clip_id"]: row["status"] for row in left_out(tmp_path / "set") if row["missing"] == "clip"}
    assert sorted([*whole, *(row["clip_id"] for row in clips)]) == sorted(map(clip_id, range(N)))
    parts = {(row["clip_id"], row["missing"]) for row in left_out(tmp_path / "set")} - {
        (name, "clip") for name in whole
    }
    expected = {clip_id(NO_SPLIT): "too_short"}
    if contents == ("sound", "frames"):
        expected |= {clip_id(NOTHING): "no_audio"}
        assert parts == {(clip_id(NO_SOUND), "sound"), (clip_id(NO_FRAMES), "frames")}
    elif contents == ("sound",):
        expected |= {clip_id(NO_SOUND): "no_audio", clip_id(NOTHING): "no_audio"}
    if contents != ("sound", "frames"):
        assert not parts
    assert whole == expected
    for row in clips:  # each is in the shard that the table names
        shard = pq.read_table(tmp_path / "set/data" / row["shard"], columns=["clip_id"])
        assert row["clip_id"] in shard["clip_id"].to_pylist()
    assert sum(record.n_clips for record in packed.records) == len(clips)


def test_one_split(in_project, tmp_path):
    packed = pack(tmp_path / "set", Settings("webdataset", ("sound",), ("val",)))
    assert {path.name for path in (tmp_path / "set/data").iterdir()} == {"val-00000.tar"}
    n_val = sum(split(i) == "val" for i in range(N))
    assert packed.selection.n_other_splits == N - 1 - n_val  # one clip has no split


@pytest.mark.parametrize("file_format", shard_files.FORMATS)
def test_limits_of_shards(in_project, tmp_path, file_format):
    by_clips = pack(tmp_path / "clips", Settings(file_format, ("media",), shard_clips=2))
    assert [record.n_clips for record in by_clips.records_of("train")] == [2, 2, 2, 2]
    by_size = pack(tmp_path / "mb", Settings(file_format, ("media",), shard_mb=3300 / writer.MB))
    assert [record.n_clips for record in by_size.records_of("train")] == [
        3,
        3,
        2,
    ]  # 1080 or 1100 bytes a clip
    one = pack(tmp_path / "one", Settings(file_format, ("media",), shard_mb=1 / writer.MB))
    assert len(one.records) == N - 1  # a clip that is larger than a shard has its own


def test_stages_of_other_clips_are_one_line(in_project, tmp_path, monkeypatch):
    table = pq.read_table("data/splits.parquet")
    (tmp_path / "data").symlink_to(in_project.root / "data")
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in (in_project.root / "data").iterdir():
        (changed / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").unlink()
    (tmp_path / "data").symlink_to(changed)
    (changed / "splits.parquet").unlink()
    with pytest.raises(UserError, match="splits.parquet: not there: run dvc repro split"):
        select(("sound",), ("train",))
    write_table(table.slice(1), changed / "splits.parquet")
    with pytest.raises(UserError, match="is of other clips than data/clips.parquet: run dvc repro"):
        select(("sound",), ("train",))
    none = table.set_column(1, "split", pa.nulls(N, pa.string()))
    write_table(none, changed / "splits.parquet")
    with pytest.raises(UserError, match="no clip of train has sound"):
        select(("sound",), ("train",))


# --- other libraries ------------------------------------------------------------------------------------


def load(folder: Path, split_name: str, cache: Path):
    import datasets

    datasets.disable_progress_bars()
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # no request to the hub
    loaded = datasets.load_dataset(str(folder), split=split_name, cache_dir=str(cache))
    for column, feature in loaded.features.items():
        if isinstance(feature, datasets.Audio | datasets.Video):
            loaded = loaded.cast_column(column, type(feature)(decode=False))
    return loaded


def test_datasets_reads_parquet(in_project, packs, tmp_path):
    numbers = {clip_id(i): i for i in range(N)}
    clip_numbers = []
    for split_name in ("train", "val", "test"):
        for row in load(packs["parquet"], split_name, tmp_path):
            i = numbers[row["clip_id"]]
            clip_numbers.append(i)
            assert row["split"] == split_name == split(i) and row["start"] == i
            assert row["labels"] == ["Flute", HOSTILE][: i % 3]
            assert row["quality_flags"] == ["still", "silent"][: i % 3]
            assert row["quality_cuts"] == (None if i == 2 else i)
            assert (row["sound"] or {}).get("bytes") == (
                None if i in (NO_SOUND, NOTHING) else in_project.sounds[i]
            )
            if i in (NO_FRAMES, NOTHING):
                assert row["frames"] is None and row["frame_times"] is None
            else:
                assert np.array_equal(np.stack(row["frames"]), in_project.frames[i])  # Pillow's pictures
            assert row["media"]["bytes"] == in_project.media[i]
            assert (row["media_sound"] or {}).get("bytes") == (
                b"sound of another file" if i == PAIRED else None
            )
    assert sorted(clip_numbers) == sorted(set(range(N)) - {NO_SPLIT})


def test_a_file_alone_says_how_datasets_plays_it(packs):
    import datasets

    card = yaml.safe_load((packs["parquet"] / "README.md").read_text().split("---\n")[1])
    declared = datasets.Features._from_yaml_list(card["dataset_info"]["features"])
    schema = pq.read_schema(packs["parquet"] / "data/train-00000.parquet")
    assert datasets.Features.from_arrow_schema(schema) == declared
    assert declared["sound"] == datasets.Audio() and declared["media"] == datasets.Video()


def test_webdataset_reads_tars(in_project, packs):
    import webdataset

    numbers = {clip_id(i): i for i in range(N)}
    samples = []
    for path in sorted((packs["webdataset"] / "data").iterdir()):
        samples += webdataset.WebDataset(str(path), shardshuffle=False).decode("rgb8")
    assert len(samples) == N - 1
    for sample in samples:
        row = sample["json"]
        i = numbers[row["clip_id"]]
        assert sample["__key__"] == row["clip_id"].replace(".", "%2E")
        assert row["split"] == split(i) and row["box"] == [0.5, 0.25]
        assert row["quality_silence"] is None if i < 2 else row["quality_silence"] == i / N  # no NaN in JSON
        assert sample.get("wav") == (None if i in (NO_SOUND, NOTHING) else in_project.sounds[i])
        if i in (NO_FRAMES, NOTHING):
            assert "00.png" not in sample
        else:
            assert np.array_equal([sample["00.png"], sample["01.png"]], in_project.frames[i])
        suffix = {IN_PLACE: "mp4", PAIRED: "webm"}.get(i, "flv")
        assert sample[suffix] == in_project.media[i]
        assert ("media_sound.ogg" in sample) == (i == PAIRED)


def test_a_sound_keeps_its_suffix_beside_the_stored_one():
    flac, wav = File(b"1", ".flac"), File(b"2", ".wav")
    for media, sound, names in ((wav, None, ["media.wav"]), (flac, wav, ["flac", "media_sound.wav"])):
        sample = Sample({}, b"stored", media=media, media_sound=sound)
        assert [name for name, _ in shard_files._members(sample)] == ["json", "wav", *names]


def test_datasets_reads_tars(in_project, packs, tmp_path, monkeypatch):
    encoders = ModuleType("torchcodec.encoders")
    encoders.AudioEncoder = None  # `datasets` asks for it, and does not use it for bytes
    import datasets  # noqa: F401  # before: it looks for the real package

    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.encoders", encoders)
    rows = {row["json"]["clip_id"]: row for row in load(packs["webdataset"], "train", tmp_path)}
    assert rows.keys() == {clip_id(i) for i in range(N) if split(i) == "train"}
    row = rows[clip_id(DOTTED)]
    assert row["wav"]["bytes"] == in_project.sounds[DOTTED]
    assert np.array_equal(np.asarray(row["01.png"]), in_project.frames[DOTTED][1])
    assert row["flv"]["bytes"] == in_project.media[DOTTED]
    assert rows[clip_id(NO_SOUND)]["wav"] is None


def test_croissant_is_valid_and_gives_the_rows(in_project, packs):
    import mlcroissant

    for file_format, folder in packs.items():
        content = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
        for file in content["distribution"]:
            if file["@type"] == "cr:FileObject":
                data = (folder / file["contentUrl"]).read_bytes()
                assert file["sha256"] == hashlib.sha256(data).hexdigest()
        croissant = mlcroissant.Dataset(folder / "croissant.json")
        assert not croissant.metadata.issues.errors
        records = {row["clips/clip_id"].decode(): row for row in croissant.records("clips")}
        assert records.keys() == {clip_id(i) for i in range(N)} - {clip_id(NO_SPLIT)}
        row = records[clip_id(4)]
        assert row["clips/labels"] == [b"Flute"] and row["clips/quality_cuts"] == 4
        if file_format == "parquet":
            assert row["clips/sound"] == in_project.sounds[4]


def test_types_are_those_of_datasets():
    import datasets

    schema = pa.schema(
        {
            "text": pa.string(),
            "number": pa.int32(),
            "share": pa.float32(),
            "flag": pa.bool_(),
            "boxes": pa.list_(pa.struct({"left": pa.float64(), "names": pa.list_(pa.string())})),
            "nested": pa.struct({"rows": pa.list_(pa.list_(pa.int64()))}),
        }
    )
    ours = {field.name: features.from_arrow(field.type) for field in schema}
    expected = datasets.Features.from_arrow_schema(schema)
    assert datasets.Features.from_dict(ours) == expected
    assert features.to_yaml(ours) == expected._to_yaml_list()


# --- the card -------------------------------------------------------------------------------------------


def test_the_card_counts_clips_reasons_and_flags(packs):
    text = (packs["webdataset"] / "README.md").read_text()
    assert "Of 14 clips, 13 are here" in text and "| train | 8 | 3 |" in text
    assert "| clip | too\\_short |" in text and "| sound | no\\_audio |" in text
    assert "still (9), silent (4)" in text and '"path/to/my set/data/train-{00000..00002}.tar"' in text
    html = MarkdownIt("commonmark").enable(["table"]).render(text.split("---\n", 2)[2])
    assert "<script" not in html and "<em>" not in html and html.count("<h1>") == 1
    assert "those who made the files hold the rights" in html and "1 persons" in html


def test_the_card_says_that_media_of_youtube_are_not_passed_on(in_project, tmp_path):
    pack(tmp_path / "set", Settings("parquet", ("sound",)), "audioset")
    card = (tmp_path / "set/README.md").read_text()
    assert "terms do not allow to pass the media on" in card and "license: other" in card
    assert "uploaded them to YouTube" in (tmp_path / "set/croissant.json").read_text()
    pack(tmp_path / "own", Settings("parquet", ("sound",)), "ensemble")
    assert "license: mit" in (tmp_path / "own/README.md").read_text()
    pack(tmp_path / "labels", Settings("parquet", ()), "audioset")
    assert "pass the media on" not in (tmp_path / "labels/README.md").read_text()
