"""Pairs of files: `audio` and `video` in clips.csv, and sounds and pictures joined by label."""

import csv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from pipeline.config import read
from pipeline.dataset.split import assign_splits
from pipeline.download.step import DownloadStep
from pipeline.errors import UserError
from pipeline.media.files import Media, side_span
from pipeline.media.frames import FramesStep
from pipeline.media.wav import WavStep, read_wav
from pipeline.sources import folder
from pipeline.store import clip_table
from testing import defaults
from testing.recordings import record, sine

DIGITS = Path(__file__).resolve().parents[4] / "shared" / "digits"


def settings(root: Path, **changes) -> SimpleNamespace:
    return SimpleNamespace(**{"folder": str(root), "pair": "none", "seed": 0} | changes)


def write_files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def read_list(root: Path, text: str) -> list[dict]:
    (root / "clips.csv").write_text(text)
    return folder.clips(settings(root)).table.to_pylist()


# --- clips.csv


@pytest.fixture
def media(tmp_path):
    write_files(tmp_path, "a.wav", "b.wav", "c.wav", "x.png", "y.png", "film.mp4")
    return tmp_path


def test_a_row_names_a_sound_and_a_picture(media):
    rows = read_list(media, "audio,video,labels\na.wav,x.png,one\nb.wav,,two\n,y.png,\nfilm.mp4,x.png,\n")
    files = [tuple(row[side] and Path(row[side]).name for side in ("audio", "video")) for row in rows]
    assert files == [("a.wav", "x.png"), ("b.wav", None), (None, "y.png"), ("film.mp4", "x.png")]
    assert [row["labels"] for row in rows] == [["one"], ["two"], [], []]
    assert len({row["clip_id"] for row in rows}) == 4
    assert "audio_start" not in rows[0]  # all are at the same times


def test_rows_that_share_a_file_are_in_one_group(media):
    rows = read_list(media, "audio,video\na.wav,x.png\nb.wav,x.png\nb.wav,y.png\nc.wav,\n")
    assert len({row["video_id"] for row in rows[:3]}) == 1 and rows[3]["video_id"] == "c.wav"
    with pytest.raises(UserError, match=r"line 4: split test, but line 2 puts 'a.wav \+ x.png' into train"):
        read_list(media, "audio,video,split\na.wav,x.png,train\nb.wav,x.png,\nb.wav,y.png,test\n")


def test_each_side_has_its_times(media):
    rows = read_list(
        media,
        "audio,video,start,end,audio_start,audio_end,video_start,video_end\n"
        "a.wav,film.mp4,,,1,3,20,22\na.wav,film.mp4,5,6,,,,\na.wav,film.mp4,5,6,,,7,\n",
    )
    spans = [(side_span(row, "audio"), side_span(row, "video")) for row in rows]
    assert spans == [((1, 3), (20, 22)), ((5, 6), (5, 6)), ((5, 6), (7, None))]
    assert rows[1]["start"] == 5 and rows[0]["start"] is rows[0]["end"] is None
    assert len({row["clip_id"] for row in rows}) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,audio\na.wav,a.wav\n", "columns path and audio or video: name one file by path"),
        ("audio,video,labels\n,,a\n", "line 2: audio and video are empty: name a file in one of them"),
        ("audio,video\nx.png,x.png\n", "line 2: audio 'x.png' has no sound, by its name"),
        ("audio,video\na.wav,b.wav\n", "line 2: video 'b.wav' has no picture, by its name"),
        ("audio,video\na.wav,../x.png\n", "line 2: video '../x.png' leaves the folder"),
        ("audio,video\nz.wav,x.png\n", "line 2: no file 'z.wav' in the folder"),
        ("audio,video,video_start,video_end\na.wav,film.mp4,3,2\n", "video_end 2 is not after video_start 3"),
        ("audio,video,audio_start\na.wav,x.png,-1\n", "audio_start '-1' is negative"),
        ("audio,video\na.wav,x.png\na.wav,x.png\n", "the same clip of 'a.wav + x.png' as line 2"),
    ],
)
def test_a_mistake_in_a_list_of_pairs_is_one_line(media, text, message):
    with pytest.raises(UserError) as error:
        read_list(media, text)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_sound_and_picture_are_decoded_at_their_own_times(tmp_path):
    sound = np.concatenate([sine(1.0, 300), np.zeros(44100, np.float32)])
    record(tmp_path / "sound.flv", frames=0, sound=sound)
    record(tmp_path / "film.flv", frames=60, rate=20)  # 3 s
    clip = {
        "start": None,
        "end": None,
        "audio_start": 1.2,
        "audio_end": 1.7,
        "video_start": 0.0,
        "video_end": None,
    }
    media = Media(str(tmp_path / "sound.flv"), str(tmp_path / "film.flv"))
    [wav] = WavStep(SimpleNamespace(sample_rate=8000), 2.0)([clip], [media])
    [frames] = FramesStep(SimpleNamespace(frames=2, height=16, width=16), 2.0)([clip], [media])
    samples, _ = read_wav(wav.value)
    assert wav.extra["seconds"] == pytest.approx(0.5) and np.abs(samples[400:]).max() < 300  # the silent part
    assert frames.extra["seconds"] == pytest.approx(2.0)


# --- data.pair: category


@pytest.fixture
def sides(tmp_path):
    write_files(tmp_path, *(f"sounds/{label}/{i}.wav" for label in "ab" for i in range(5)))
    write_files(tmp_path, *(f"pictures/{label}/deep/{i}.png" for label in "bc" for i in range(3)))
    write_files(tmp_path, "sounds/b/film.mp4", "sounds/b/x.png", "other.wav", "notes.txt")
    return tmp_path


def test_sounds_and_pictures_are_joined_by_label(sides):
    data = settings(sides, pair="category")
    table, lines = folder.clips(data)
    rows = table.to_pylist()
    assert len(rows) == 3 and all(row["labels"] == ["b"] for row in rows)
    for side in ("audio", "video"):  # no file is in two clips, so none is in two splits
        assert set(Counter(row[side] for row in rows).values()) == {1}
    assert len({row["video_id"] for row in rows}) == 3
    assert rows == folder.clips(data).table.to_pylist()
    pairs = {(row["audio"], row["video"]) for row in rows}
    other_seeds = [
        folder.clips(settings(sides, pair="category", seed=i)).table.to_pylist() for i in range(1, 9)
    ]
    assert any({(row["audio"], row["video"]) for row in other} != pairs for other in other_seeds)
    assert lines == [
        "3 pairs by label: 3 of 11 sounds and of 6 pictures are used; 8 sounds and 3 pictures are left over",
        "labels without pictures, left out: a",
        "labels without sounds, left out: c",
        "2 media files are not in sounds/<label>/* and pictures/<label>/*, left out",
        "1 file is not media by extension, left out: 1 .txt",
    ]


def test_pairs_need_a_label_with_both(sides):
    (sides / "clips.csv").write_text("path\nother.wav\n")
    with pytest.raises(UserError, match="lists the clips: delete it, or set data.pair: none"):
        folder.clips(settings(sides, pair="category"))
    (sides / "clips.csv").unlink()
    (sides / "pictures").rename(sides / "images")
    with pytest.raises(
        UserError, match=r"needs sounds/<label>/\* and pictures/<label>/\*: .* no label has both"
    ):
        folder.clips(settings(sides, pair="category"))


@pytest.mark.skipif(not DIGITS.exists(), reason="needs ../shared/digits")
def test_real_spoken_and_written_digits(tmp_path):
    """Spoken digits and other written digits of the same value, from the lists and the media of both."""
    with open(DIGITS / "clips.csv", newline="") as f:
        listed = [row for row in csv.DictReader(f) if row["labels"] in ("digit 3", "digit 7")][:40]
    for top in ("sounds", "pictures"):
        for row in listed:
            path = tmp_path / top / row["labels"] / Path(row["path"]).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(DIGITS / row["path"])
    data = settings(tmp_path, pair="category")
    table = folder.clips(data).table
    assert len(table) == len(listed)
    rows = table.to_pylist()[:4]
    media = [outcome.value for outcome in DownloadStep(folder.fetch, data)(rows, [])]
    files = [Media(value["audio"]["path"], value["video"]["path"]) for value in media]
    params = read(defaults.PARAMS)
    for outcomes in (
        WavStep(params.audio, 1.0)(rows, files),
        FramesStep(params.video, 1.0)(rows, files),
    ):
        assert [outcome.status for outcome in outcomes] == ["ok"] * 4
    index = pa.table(
        {"clip_id": table["clip_id"], "status": ["ok"] * len(table), "detail": [""] * len(table)}
    )
    index = index.append_column("seconds", pa.array([1.0] * len(table)))
    by_split = assign_splits(clip_table.validate(table, "digits"), index, index, params.split, 1.0)
    assert {"train", "test"} <= set(by_split["split"].to_pylist())
