"""Test the source ave: events, both forms of its splits, segments on YouTube, errors."""

import h5py
import numpy as np
import pytest

from pipeline.config import read
from pipeline.errors import UserError
from pipeline.sources import ave
from testing import defaults

DATA = read(defaults.PARAMS).data
EVENTS = [
    "Church bell&-abcdefghij&good&0&10",
    "Male speech, man speaking&bcdefghijkl&good&1&4",
    "Female speech, woman speaking&bcdefghijkl&good&1&4",
    "Banjo&cdefghijklm&good&3&8",
    "Banjo&defghijklmn&good&0&0",
]
ORDER = {"train": [4, 1, 0], "val": [3], "test": [2]}
AUDIOSET = """# Segments csv created Sun Mar  5 10:54:31 2017
-abcdefghij, 30.000, 40.000, "/m/a,/m/b"
bcdefghijkl, 0.000, 10.000, "/m/c"
other, x, 10.000, "/m/c"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Annotations.txt").write_text("\n".join(EVENTS))
    (tmp_path / "audioset.csv").write_text(AUDIOSET)
    for split, rows in ORDER.items():
        with h5py.File(tmp_path / f"{split}_order.h5", "w") as file:
            file["order"] = rows
    return tmp_path


def data(folder, where="folder"):
    section = DATA.ave.model_copy(update={"lists": str(folder), "audioset": [str(folder / "audioset.csv")]})
    return DATA.model_copy(update={"media": where, "folder": str(folder), "ave": section})


def rows(folder, where="folder"):
    return ave.clips(data(folder, where)).table.to_pylist()


def test_whole_videos_say_when_their_event_is(folder):
    params = data(folder)
    whole = params.model_copy(update={"ave": params.ave.model_copy(update={"whole": True})})
    _, female, banjo, last = ave.clips(whole).table.to_pylist()
    assert (banjo["start"], banjo["end"], banjo["event_start"], banjo["event_end"]) == (0, 10, 3, 8)
    assert female["event_start"] == 1 and last["event_start"] == last["event_end"] == 0
    assert "event_start" not in ave.clips(params).table.column_names


def test_an_event_becomes_a_clip(folder):
    (folder / "AVE").mkdir()
    (folder / "AVE/cdefghijklm.mp4").write_bytes(b"x")
    first, female, banjo, last = rows(folder)
    assert first["clip_id"] == "_-abcdefghij_Church_bell" and first["quality"] == "good"
    assert banjo["video"] == f"{folder}/AVE/cdefghijklm.mp4" and banjo["labels"] == ["Banjo"]
    assert (banjo["start"], banjo["end"]) == (3.0, 8.0)
    assert [clip["split"] for clip in (first, female, banjo, last)] == ["train", "test", "val", "train"]
    assert last["video"] is None  # the event has no length
    params = data(folder)
    assert ave.clips(params).lines == [
        "1 events left out, whose videos have another one in val or test",
        "1 of 4 clips have an invalid id, or an unknown place: the stage download refuses them",
        f"2 of 4 clips (50.0%) have no file in {folder}, such as -abcdefghij.mp4",
    ]


def test_the_lists_of_the_data_set_itself_give_the_same(folder):
    before = rows(folder)
    (folder / "Annotations.txt").write_text(
        "\n".join(["Category&VideoID&Quality&StartTime&EndTime", *EVENTS])
    )
    for split, numbers in ORDER.items():
        (folder / f"{split}_order.h5").unlink()
        lines = [EVENTS[i].rpartition("&")[0].rpartition("&")[0] for i in numbers]  # without times
        (folder / f"{split}Set.txt").write_text("\n".join(lines) + "\n")
    assert rows(folder) == before


def test_audioset_says_where_on_youtube_an_event_is(folder):
    clips = {clip["clip_id"]: clip["video"] for clip in rows(folder, "youtube")}
    assert clips["_-abcdefghij_Church_bell"] == "https://www.youtube.com/watch?v=-abcdefghij#t=30,40"
    assert clips["bcdefghijkl_Female_speech_woman_speaking"].endswith("v=bcdefghijkl#t=1,4")
    assert clips["cdefghijklm_Banjo"] is None  # in no list of AudioSet


def test_an_event_without_a_published_split_is_reported(folder):
    with h5py.File(folder / "val_order.h5", "w") as file:
        file["order"] = np.zeros(0, int)
    params = data(folder)
    lines = ave.clips(params).lines
    assert lines[0] == "1 events are in none of the published splits: the stage split assigns them"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Bell&a&good&0\nBell&a&good&0&11\nBell&a&good&5&4\n&a&good&1&2\n",
            "line 1: .*line 2: .*line 3: .*4",
        ),
        ("Bell&a&good&nan&5\n", "line 1: not a class, an id, a quality, a start and an end within 10 s"),
        ("", "no event in it"),
        ("Bell&a&good&0&5\n", "train_order.h5: 2 rows are not in Annotations.txt, such as 4: .*versions"),
    ],
)
def test_an_invalid_list_is_an_error_of_one_line(folder, text, message):
    (folder / "Annotations.txt").write_text(text)
    with pytest.raises(UserError, match=f"^data.ave.lists: .*{message}") as e:
        rows(folder)
    assert "\n" not in str(e.value)


def write_link(file):
    file["order"] = h5py.ExternalLink("audioset.csv", "/x")


def write_external(file):
    file.create_dataset("order", (3,), "i8", external=[("audioset.csv", 0, 24)])


def write_virtual(file):
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = h5py.VirtualSource("val_order.h5", "order", (3,))
    file.create_virtual_dataset("order", layout)


@pytest.mark.parametrize(
    "write",
    [
        write_link,
        write_external,
        write_virtual,
        lambda file: file.create_group("order"),
        lambda file: file.create_dataset("order", data=["a"]),
        lambda file: file.create_dataset("order", (1 << 40,), "i8", chunks=(1 << 20,)),
        lambda file: None,
    ],
)
def test_row_numbers_that_are_no_plain_list_are_refused(folder, write):
    """No other file is read, and no size is believed."""
    with h5py.File(folder / "train_order.h5", "w") as file:
        write(file)
    with pytest.raises(UserError, match="train_order.h5: not a list of row numbers"):
        rows(folder)


def test_a_damaged_or_missing_list_of_row_numbers_is_an_error(folder):
    content = (folder / "train_order.h5").read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2]):
        (folder / "train_order.h5").write_bytes(damaged)
        with pytest.raises(UserError, match="train_order.h5: not a list of row numbers"):
            rows(folder)
    (folder / "train_order.h5").unlink()
    with pytest.raises(UserError, match="data.ave.lists: .*train_order.h5: no such file"):
        rows(folder)
