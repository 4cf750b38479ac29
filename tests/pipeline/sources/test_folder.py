import os
import re
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.sources import folder
from pipeline.sources.folder import extensions, ids
from pipeline.sources.folder import paths as file_paths
from pipeline.store.clip_table import CLIP_ID

REAL = Path(__file__).resolve().parents[4] / "shared" / "real_clips"
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow these names")


@pytest.fixture
def videos(tmp_path, monkeypatch):
    """An empty folder `videos` in the current directory."""
    monkeypatch.chdir(tmp_path)
    file_paths._file_names.cache_clear()
    (tmp_path / "videos").mkdir()
    return tmp_path / "videos"


def write_files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def settings(path="videos", **changes):
    return SimpleNamespace(**{"folder": str(path), "pair": "none", "seed": 0} | changes)


def table(path="videos", **changes):
    return folder.clips(settings(path, **changes)).table


def rows(path="videos"):
    return table(path).to_pylist()


def lines(path="videos"):
    return folder.clips(settings(path)).lines


def paths(path="videos"):
    return [r["video"] or r["audio"] for r in rows(path)]


def write_csv(root: Path, text: str | bytes) -> None:
    (root / "clips.csv").write_bytes(text if isinstance(text, bytes) else text.encode())


def error_message(path="videos") -> str:
    with pytest.raises(UserError) as e:
        table(path)
    return str(e.value)


# ---- without a clips.csv


def test_first_folders_are_labels(videos):
    write_files(videos, "flute/a.mp4", "flute/deep/er/b.mp4", "drum kit/c.mp4", "d.mp4")
    assert [(r["video"], r["labels"]) for r in rows()] == [
        ("videos/d.mp4", []),
        ("videos/drum kit/c.mp4", ["drum kit"]),
        ("videos/flute/a.mp4", ["flute"]),
        ("videos/flute/deep/er/b.mp4", ["flute"]),
    ]
    assert all(r["start"] is r["end"] is r["subject"] is r["split"] is None for r in rows())


@pytest.mark.parametrize(
    "name, sound, picture",
    [
        ("a.mp4", True, True), ("a.MKV", True, True), ("a.flv", True, True), ("a.ogg", True, True),
        ("a.wav", True, False), ("a.Mp3", True, False), ("a.flac", True, False), ("a.opus", True, False),
        ("a.jpg", False, True), ("a.PNG", False, True), ("a.webp", False, True), ("a.gif", False, True),
    ],
)  # fmt: skip
def test_kinds_by_extension(videos, name, sound, picture):
    write_files(videos, name)
    (row,) = rows()
    assert (row["audio"], row["video"]) == (
        f"videos/{name}" if sound else None,
        f"videos/{name}" if picture else None,
    )


def test_the_kinds_are_disjoint():
    assert len(extensions.MEDIA) == len(extensions.BOTH) + len(extensions.SOUND) + len(extensions.PICTURE)
    assert all(re.fullmatch("[a-z0-9]+", ext) for ext in extensions.MEDIA)


def test_a_sound_and_a_picture_of_one_name_are_two_clips(videos):
    write_files(videos, "ann/voice.wav", "ann/voice.jpg")
    one, two = rows()
    assert (one["audio"], one["video"]) == (None, "videos/ann/voice.jpg")
    assert (two["audio"], two["video"]) == ("videos/ann/voice.wav", None)
    assert one["clip_id"] != two["clip_id"]


ODD = [
    "with space.mp4", " lead.mp4", "it's \"so\".mp4", "-rf.mp4", "--.mp4", "$HOME.mp4", "~.mp4",
    "a;b&c|d.mp4", "猫の声.mp4", "Žluťoučký kůň.mp4", "قط.mp4", "кошка.mp4", "😀.mp4", "e\u0301.mp4", "é.mp4",
    "a.b.c.mp4", "a..mp4", "concat:x|y.mp4", "a%20b.mp4", "*.mp4", "[x].mp4",
    "x" * 240 + ".mp4", "new\nline.mp4", "tab\there.mp4", "back\\slash.mp4", "\u202egpj.mp4",
]  # fmt: skip


@linux
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("parent", ["", "-x y/"])
def test_odd_names(videos, name, parent):
    write_files(videos, parent + name)
    (row,) = rows()
    assert row["video"] == f"videos/{parent}{name}"
    assert folder.check_file(row["video"])[0] == "ok"
    assert CLIP_ID.fullmatch(row["clip_id"])


@linux
def test_odd_names_together_and_in_a_csv(videos):
    write_files(videos, *ODD)
    scanned = rows()
    assert len({r["clip_id"] for r in scanned}) == len(scanned) == len(set(ODD))
    quoted = ["".join(['"', r["video"].removeprefix("videos/").replace('"', '""'), '"']) for r in scanned]
    write_csv(videos, "path\r\n" + "\r\n".join(quoted) + "\r\n")
    assert rows() == scanned


def test_order_is_by_bytes(videos):
    names = [
        "b.mp4",
        "B.mp4",
        "a/x.mp4",
        "a.mp4",
        "a-b.mp4",
        "é.mp4",
        "z.mp4",
        "10.mp4",
        "9.mp4",
        "\uffee.mp4",
        "😀.mp4",
    ]
    write_files(videos, *names)
    assert paths() == [f"videos/{n}" for n in sorted(set(names), key=lambda n: n.encode())]


def test_order_does_not_depend_on_the_file_system(videos, monkeypatch):
    write_files(videos, *(f"{a}/{b}.mp4" for a in "xyz" for b in "abc"))
    before = rows()
    real = os.scandir

    class Backwards:
        def __init__(self, path):
            with real(path) as it:
                self.entries = sorted(it, key=lambda e: e.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert rows() == before


def test_files_that_are_not_media_are_counted(videos):
    write_files(
        videos,
        "a.mp4",
        "README.md",
        "x/notes.txt",
        "x/list.txt",
        "noext",
        ".hidden.mp4",
        ".git/b.mp4",
        "x/._a.mp4",
    )
    assert paths() == ["videos/a.mp4"]
    assert lines() == ["4 files are not media by extension, left out: 2 .txt, 1 .md, 1 without extension"]


def test_lines_are_empty_when_all_became_clips(videos):
    write_files(videos, "a.mp4", "x/b.wav")
    assert lines() == []


def test_lines_name_files_that_are_not_in_the_csv(videos):
    write_files(videos, "a.mp4", "b.mp4", "c/d.wav", "e.txt")
    write_csv(videos, "path\na.mp4\n")
    assert lines() == [
        "1 file is not media by extension, left out: 1 .txt",
        "2 media files are not in clips.csv, left out: 'b.mp4', 'c/d.wav'",
    ]


@linux
def test_lines_name_files_whose_names_are_not_utf8(videos):
    write_files(videos, "a.mp4")
    (Path(os.fsdecode(b"videos/caf\xe9.mp4"))).write_bytes(b"x")
    (Path(os.fsdecode(b"videos/x.\xe9"))).write_bytes(b"x")
    assert paths() == ["videos/a.mp4"]
    all_lines = lines()
    assert all_lines[1] == "1 media file is left out: the name is not UTF-8: 'caf\\udce9.mp4'"
    "\n".join(all_lines).encode()  # can be printed


def test_lines_name_unreadable_folders(videos, monkeypatch):
    write_files(videos, "a.mp4", "locked/b.mp4")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert paths() == ["videos/a.mp4"]
    assert lines() == ["1 folder is left out: it cannot be read: 'locked'"]


def test_a_broken_link_is_a_row(videos):
    (videos / "gone.mp4").symlink_to("nowhere.mp4")
    (videos / "self.mp4").symlink_to("self.mp4")
    assert paths() == ["videos/gone.mp4", "videos/self.mp4"]
    assert folder.check_file("videos/gone.mp4")[:2] == ("unreadable", "a link to a file that does not exist")
    assert folder.check_file("videos/self.mp4")[0] == "unreadable"


def test_links_to_files_are_followed(videos, tmp_path):
    write_files(tmp_path, "elsewhere.mp4")
    (videos / "a.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    assert paths() == ["videos/a.mp4"]
    assert folder.check_file("videos/a.mp4")[0] == "ok"


def test_links_to_folders_outside_are_followed_once(videos, tmp_path):
    write_files(tmp_path, "big/disk/a.mp4")
    (tmp_path / "big" / "disk" / "again").symlink_to(tmp_path / "big" / "disk")
    (videos / "flute").symlink_to(tmp_path / "big" / "disk")
    (videos / "flute2").symlink_to(tmp_path / "big" / "disk")
    (row,) = rows()
    assert (row["video"], row["labels"]) == ("videos/flute/a.mp4", ["flute"])
    assert "'flute/again', 'flute2'" in lines()[0]


@pytest.mark.parametrize("target", ["..", ".", "/", "flute", "/proc/self/cwd"])
def test_links_that_form_a_loop_are_not_followed(videos, target):
    write_files(videos, "flute/a.mp4")
    (videos / "aaa").symlink_to(target)
    assert paths() == ["videos/flute/a.mp4"]
    assert lines() == [
        "1 folder is left out: a link to a folder that is read already or that contains this one: 'aaa'"
    ]


def test_a_folder_named_like_a_video(videos):
    write_files(videos, "clip.mp4/1.jpg", "a.mp4")
    (videos / "empty.flv").mkdir()
    write_files(videos, "text.avi/readme.txt")
    assert paths() == ["videos/a.mp4", "videos/clip.mp4/1.jpg", "videos/empty.flv", "videos/text.avi"]
    assert folder.check_file("videos/empty.flv")[:2] == ("unreadable", "a folder where a file should be")


@pytest.mark.parametrize(
    "prepare, message",
    [
        (lambda root: None, "videos: no video, sound or picture files in this folder: put some there"),
        (lambda root: write_files(root, "README.md", "b.txt"), "in this folder (other files: 2)"),
        (lambda root: root.rmdir(), "videos: no such folder"),
        (lambda root: (root.rmdir(), root.write_text("x")), "videos: not a folder"),
        (lambda root: (root.rmdir(), root.symlink_to("nowhere")), "videos: not a folder"),
    ],
)
def test_no_folder_or_no_media_in_it(videos, prepare, message):
    prepare(videos)
    error = error_message()
    assert message in error and "\n" not in error and "data.folder" in error


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "https://example.org/x", "~nobody-of-this-name/x"])
def test_no_such_folder(videos, name):
    assert "data.folder" in error_message(name)


def test_home_is_expanded_and_nothing_else(videos, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("X", "videos")
    write_files(videos, "a.mp4")
    write_files(tmp_path, "my $X/b.mp4")
    assert paths("~/videos") == [f"{tmp_path}/videos/a.mp4"]
    assert paths("my $X") == ["my $X/b.mp4"]
    assert "no such folder" in error_message("$X")


@pytest.mark.parametrize(
    "name, prefix",
    [
        ("videos", "videos/"), ("videos//", "videos/"), ("./videos/", "./videos/"), (".", "./"),
        ("../{cwd}/videos", "../{cwd}/videos/"), ("{abs}/videos", "{abs}/videos/"),
        ("-v", "./-v/"), ("concat:x", "./concat:x/"),
    ],
)  # fmt: skip
def test_paths_are_as_relative_as_the_folder(videos, tmp_path, name, prefix):
    write_files(videos, "a.mp4")
    if name in ("-v", "concat:x"):
        write_files(tmp_path / name, "a.mp4")
    words = {"cwd": tmp_path.name, "abs": str(tmp_path)}
    table_paths = paths(name.format(**words))
    assert prefix.format(**words) + ("videos/" if name == "." else "") + "a.mp4" in table_paths
    assert all(Path(p).exists() for p in table_paths)


def test_many_files(videos, monkeypatch):
    """Only links may be stat'ed one by one."""
    write_files(videos, *(f"l{i % 10}/{i}.mp4" for i in range(500)))
    calls = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda *a, **k: calls.append(a) or real(*a, **k))
    assert len(rows()) == 500
    assert len(calls) < 50


# ---- ids

names = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=20)
files = st.lists(names, min_size=1, max_size=4).map("/".join)
times = st.none() | st.floats(0, 1e6, allow_nan=False)


@given(files, times, times)
def test_ids_are_safe_and_always_the_same(path, start, end):
    clip_id = ids.clip_id(path, start, end)
    assert CLIP_ID.fullmatch(clip_id)
    assert clip_id == ids.clip_id(path, start, end)


@given(files, files, times, times)
def test_ids_of_different_files_differ(a, b, start, end):
    assume(a != b)
    entries = [{"path": p, "start": start, "end": end} for p in (a, b)]
    folder.add_ids(entries)
    assert entries[0]["clip_id"] != entries[1]["clip_id"]


@given(files, times, times, times, times)
def test_ids_of_different_cuts_differ(path, s1, e1, s2, e2):
    assume((s1 or 0.0, e1) != (s2 or 0.0, e2))
    assert ids.clip_id(path, s1, e1) != ids.clip_id(path, s2, e2)


@given(files, st.sets(files))
def test_ids_do_not_depend_on_other_files(path, other_paths):
    stem = os.path.splitext(path)[0]
    other_paths = {p for p in other_paths if os.path.splitext(p)[0] != stem}
    entries = [{"path": p} for p in [path, *sorted(other_paths - {path})]]
    folder.add_ids(entries)
    assert entries[0]["clip_id"] == ids.clip_id(path)


@pytest.mark.parametrize(
    "path, start, end, expected",
    [
        ("bbaf2n.mpg", None, None, r"bbaf2n"),
        ("00W1lcxW-WU_40.000.mp4", None, None, r"00W1lcxW-WU_40\.000"),
        ("00W1lcxW-WU_40.000.mp4", 0.0, None, r"00W1lcxW-WU_40\.000"),
        ("talk.mp4", 10.0, 20.0, r"talk_10-20-[0-9a-f]{12}"),
        ("talk.mp4", None, 2.5, r"talk_0-2\.5-[0-9a-f]{12}"),
        ("talk.mp4", 3.0, None, r"talk_3--[0-9a-f]{12}"),
        ("talk.mp4", 0.0, 1e7, r"talk_0-1e07-[0-9a-f]{12}"),
        ("voice.wav", None, None, r"voice-[0-9a-f]{12}"),
        ("flute/a b.mp4", None, None, r"flute-a_b-[0-9a-f]{12}"),
        ("Žluťoučký.mp4", None, None, r"Zlutoucky-[0-9a-f]{12}"),
        ("-rf.mp4", None, None, r"rf-[0-9a-f]{12}"),
        ("猫.mp4", None, None, r"clip-[0-9a-f]{12}"),
        ("x-0123456789ab.mp4", None, None, r"x-0123456789ab-[0-9a-f]{12}"),
        ("y" * 240 + ".mp4", None, None, r"y{80}-[0-9a-f]{12}"),
    ],
)
def test_ids_are_readable(path, start, end, expected):
    assert re.fullmatch(expected, ids.clip_id(path, start, end))


def test_ids_never_change():
    assert ids.clip_id("flute/a b.mp4") == "flute-a_b-c9d4c115514f"
    assert ids.clip_id("talk.mp4", 10.0, 20.0) == "talk_10-20-1af868fe72b4"


def test_two_videos_of_one_stem(videos):
    write_files(videos, "x.mp4", "x.mkv", "y.mp4")
    ids = [r["clip_id"] for r in rows()]
    assert len(set(ids)) == 3 and ids[2] == "y" and all(re.fullmatch("x-[0-9a-f]{12}", i) for i in ids[:2])


# ---- clips.csv


def test_all_columns(videos):
    write_files(videos, "a.mp4", "b/c d.wav")
    write_csv(
        videos,
        "split,path,clip_id,start,end,labels,subject\n"
        "test,b/c d.wav,my_id,,,,Ann\n"
        'train,a.mp4,, 1.5 ,+2e1,"Flute; Drum, kit ;;Flute", 7\n'
        ",./a.mp4,,,,Ptáče,\n",
    )
    assert rows() == [
        {"clip_id": "my_id", "audio": "videos/b/c d.wav", "video": None, "start": None, "end": None,
         "labels": [], "subject": "Ann", "split": "test", "video_id": "b/c d.wav"},
        {"clip_id": ids.clip_id("a.mp4", 1.5, 20.0), "audio": "videos/a.mp4", "video": "videos/a.mp4",
         "start": 1.5, "end": 20.0, "labels": ["Flute", "Drum, kit"], "subject": "7", "split": "train",
         "video_id": "a.mp4"},
        {"clip_id": "a", "audio": "videos/a.mp4", "video": "videos/a.mp4", "start": None, "end": None,
         "labels": ["Ptáče"], "subject": None, "split": None, "video_id": "a.mp4"},
    ]  # fmt: skip


def test_a_csv_has_its_own_order_and_its_own_labels(videos):
    write_files(videos, "x/b.mp4", "x/a.mp4", "c.mp4")
    write_csv(videos, "path\nx/b.mp4\nc.mp4\nx/a.mp4\n")
    assert paths() == ["videos/x/b.mp4", "videos/c.mp4", "videos/x/a.mp4"]
    assert all(r["labels"] == [] for r in rows())


@pytest.mark.parametrize(
    "text",
    [
        b"path\na.mp4\n", b"path\na.mp4", b"path\r\na.mp4\r\n", b"path\ra.mp4\r",
        b"\xef\xbb\xbfpath\na.mp4\n",
        b'"path"\n"a.mp4"\n', b"\n\n path \n\na.mp4\n\n", b"path,labels\na.mp4,\n,\n",
        b"path,start\na.mp4,-0\n",
    ],
)  # fmt: skip
def test_forms_of_a_good_csv(videos, text):
    write_files(videos, "a.mp4")
    write_csv(videos, text)
    (row,) = rows()
    assert (row["clip_id"], row["video"], row["start"] or 0.0) == ("a", "videos/a.mp4", 0.0)


HEAD = "path,clip_id,start,end,labels,subject,split\n"


@pytest.mark.parametrize(
    "text, message",
    [
        (HEAD + "b c.mp4,,,,,,\n", "line 2: no file 'b c.mp4' in the folder"),
        (HEAD + "A.mp4,,,,,,\n", "line 2: no file 'A.mp4' in the folder: did you mean 'a.mp4'?"),
        (HEAD + " a.mp4,,,,,,\n", "line 2: no file ' a.mp4' in the folder: did you mean 'a.mp4'?"),
        (HEAD + "sub\\s.mp4,,,,,,\n", "line 2: no file 'sub\\\\s.mp4' in the folder: write 'sub/s.mp4'"),
        (HEAD + "e\u0301.mp4,,,,,,\n", "did you mean 'é.mp4'?"),
        (HEAD + "link.mp4,,,,,,\n", "line 2: no file 'link.mp4': it is a link to a file that does not exist"),
        (HEAD + "a.mp4/b.mp4,,,,,,\n", "line 2: no file 'a.mp4/b.mp4' in the folder"),
        (HEAD + "x" * 300 + ".mp4,,,,,,\n", "line 2: no file 'xxx"),
        (HEAD + "https://example.org/a.mp4,,,,,,\n", "line 2: no file 'https://example.org/a.mp4' in the"),
        (HEAD + "../out.mp4,,,,,,\n", "line 2: path '../out.mp4' leaves the folder"),
        (HEAD + "sub/../../out.mp4,,,,,,\n", "line 2: path 'sub/../../out.mp4' leaves the folder"),
        (HEAD + "..,,,,,,\n", "line 2: path '..' leaves the folder"),
        (HEAD + "/etc/passwd,,,,,,\n", "line 2: path '/etc/passwd' is absolute"),
        (HEAD + "C:\\a.mp4,,,,,,\n", "line 2: path 'C:\\\\a.mp4' is absolute"),
        (HEAD + ",x,,,,,\n", "line 2: path is empty"),
        (HEAD + "a.mp4,,5,3,,,\n", "line 2: end 3 is not after start 5"),
        (HEAD + "a.mp4,,5,5,,,\n", "line 2: end 5 is not after start 5"),
        (HEAD + "a.mp4,,,0,,,\n", "line 2: end 0 is not after start 0"),
        (HEAD + "a.mp4,,-1,,,,\n", "line 2: start '-1' is negative"),
        (HEAD + "a.mp4,,nan,,,,\n", "line 2: start 'nan' is not a number of seconds"),
        (HEAD + "a.mp4,,,inf,,,\n", "line 2: end 'inf' is not a number of seconds"),
        (HEAD + "a.mp4,,,1e999,,,\n", "line 2: end '1e999' is too large"),
        (HEAD + "a.mp4,,0:10,,,,\n", "line 2: start '0:10' is not a number of seconds"),
        (HEAD + "a.mp4,,1_0,,,,\n", "line 2: start '1_0' is not a number of seconds"),
        (HEAD + 'a.mp4,,"1,5",,,,\n', "line 2: start '1,5' is not a number of seconds"),
        (HEAD + "a.mp4,-x,,,,,\n", "line 2: clip_id '-x' is not safe as a file name"),
        (HEAD + "a.mp4,x/../y,,,,,\n", "line 2: clip_id 'x/../y' is not safe as a file name"),
        (HEAD + "a.mp4,x y,,,,,\n", "line 2: clip_id 'x y' is not safe as a file name"),
        (HEAD + "a.mp4,x,,,,,\na.mp4,x,1,2,,,\n", "line 3: clip_id 'x' is a duplicate of line 2"),
        (HEAD + "a.mp4,,,,,,\nsub/s.mp4,a,,,,,\n", "line 3: clip_id 'a' is a duplicate of line 2"),
        (HEAD + "a.mp4,,,,,,\n./a.mp4,,0,,,,\n", "line 3: the same clip of 'a.mp4' as line 2"),
        (HEAD + "a.mp4,,1,2,,,\n\na.mp4,,1.0,2.0,,,\n", "line 4: the same clip of 'a.mp4' as line 2"),
        (HEAD + "a.mp4,,,,,,valid\n", "line 2: unknown split 'valid': did you mean val?"),
        (HEAD + "a.mp4,,,,,,Train\n", "line 2: unknown split 'Train': did you mean train?"),
        (HEAD + "a.mp4,,,,,,xyz\n", "line 2: unknown split 'xyz': use train, val, test"),
        ("file,labels\na.mp4,x\n", "no column path: the header must be some of path, audio"),
        ("a.mp4\nsub/s.mp4\n", "line 1: no column path"),
        ("path;labels\na.mp4;x\n", "line 1: no column path: separate columns by commas, not by ';'"),
        ("path\tlabels\na.mp4\tx\n", "line 1: no column path: separate columns by commas, not by '\\t'"),
        ("path,label\na.mp4,x\n", "line 1: unknown column 'label': did you mean labels?"),
        ("path,Split\na.mp4,train\n", "line 1: unknown column 'Split': did you mean split?"),
        ("path,qqq\na.mp4,x\n", "line 1: unknown column 'qqq': use path, audio"),
        (",path\n0,a.mp4\n", "line 1: unknown column ''"),
        ("path,path\na.mp4,a.mp4\n", "line 1: column path is there 2 times"),
        (HEAD + "a.mp4,,\n", "line 2: 3 fields where the header has 7"),
        ("path,labels\na.mp4,x,y\n", "line 2: 3 fields where the header has 2: quote what holds a comma"),
        ('path,labels\n"a.mp4"x,y\n', "line 2: broken quoting"),
        ('path,labels\n"a.mp4,y\n', "line 2: broken quoting (a quote that is never closed)"),
        ('path\n"a.mp4\n' + "x\n" * 100_000, "line 2: broken quoting (a quote that is never closed)"),
        ('path,labels\na.mp4,"two\nlines"\nnone.mp4,\n', "line 4: no file 'none.mp4'"),
        ('path,labels\na.mp4,"two\nlines"\nnone.mp4,"x\ny"\n', "line 4: no file 'none.mp4'"),
        (b"path,labels\na.mp4,caf\xe9\n", "line 2: not UTF-8 (byte 0xe9, column 10): save it as UTF-8"),
        (b"path,labels\n\xff.mp4,x\n", "line 2: not UTF-8 (byte 0xff, column 1)"),
        (b"path,caf\xe9\na.mp4,x\n", "line 1: not UTF-8 (byte 0xe9, column 9)"),
        ("path\na.mp4\n".encode("utf-16"), "line 1: UTF-16, not UTF-8"),
        (b"path\na.mp4\n\0\n", "line 3: a NUL byte"),
        (b"path\na\0.mp4\n", "line 2: a NUL byte"),
        (
            "path,start,end,split\na.mp4,0,1,train\na.mp4,1,2,\na.mp4,2,3,test\n",
            "line 4: split test, but line 2 puts 'a.mp4' into train",
        ),
        (b"", "line 1: empty"),
        (b"\xef\xbb\xbf", "line 1: empty"),
        (b"\n \n", "line 1: empty"),
        (HEAD, "line 1: a header and no rows"),
    ],
)  # fmt: skip
def test_a_problem_in_a_csv_is_an_error_with_its_line(videos, text, message):
    write_files(videos, "a.mp4", "sub/s.mp4", "é.mp4")
    write_files(videos.parent, "out.mp4")
    (videos / "link.mp4").symlink_to("nowhere")
    write_csv(videos, text)
    error = error_message()
    assert error.startswith("videos/clips.csv: ")
    assert message in error
    error.encode()  # can be printed


def test_one_error_names_all_problems(videos):
    write_files(videos, "a.mp4")
    write_csv(
        videos,
        b"path,start,end,split,clip_id,extra\n"
        b"gone.mp4,,,,,\n"
        b"../a.mp4,,,,,\n"
        b"a.mp4,5,3,valid,-x,\n"
        b"a.mp4,,,,same,\n"
        b"a.mp4,1\n"
        b"a.mp4,,,,same,\n"
        b"caf\xe9.mp4,,,,,\n"
        b'"a.mp4"",,\n',
    )
    head, *messages = error_message().split("\n")
    assert head == "videos/clips.csv: 10 problems, correct each:"
    lines = [line.strip().split(": ")[0] for line in messages]
    assert lines == [f"line {n}" for n in (1, 2, 3, 4, 4, 4, 6, 7, 8, 9)]


def test_an_error_names_at_most_twenty_problems(videos):
    write_files(videos, "a.mp4")
    write_csv(videos, "path\n" + "".join(f"gone{i}.mp4\n" for i in range(50)))
    error_lines = error_message().split("\n")
    assert error_lines[0].endswith("50 problems, correct each:")
    assert len(error_lines) == 22 and error_lines[-1].strip() == "and 30 more"


def test_one_problem_is_one_line(videos):
    write_files(videos, "a.mp4")
    write_csv(videos, 'path\n"gone\nfile.mp4"\n')
    assert error_message() == "videos/clips.csv: line 2: no file 'gone\\nfile.mp4' in the folder"


def test_a_csv_that_cannot_be_read(videos):
    write_files(videos, "a.mp4")
    (videos / "clips.csv").mkdir()
    assert "videos/clips.csv: cannot be read" in error_message()


def test_a_folder_or_a_playlist_in_a_csv_is_a_row(videos):
    write_files(videos, "list.m3u8", "noext")
    (videos / "dir.mp4").mkdir()
    write_csv(videos, "path\nlist.m3u8\nnoext\ndir.mp4\n")
    assert all(r["audio"] == r["video"] for r in rows())
    assert [folder.check_file(p)[0] for p in paths()] == ["ok", "ok", "unreadable"]


def test_ids_of_a_csv_are_those_of_a_scan(videos):
    write_files(videos, "x/a.mp4", "b.wav", "c.mp4")
    scanned = {r["clip_id"] for r in rows()}
    write_csv(videos, "path\nc.mp4\nx/a.mp4\nb.wav\n")
    assert {r["clip_id"] for r in rows()} == scanned


# ---- one file


def test_check_returns_size_and_time(videos):
    write_files(videos, "a.mp4")
    info = (videos / "a.mp4").stat()
    assert folder.check_file("videos/a.mp4") == ("ok", "", 1, info.st_mtime_ns)


def test_check_returns_a_reason(videos, monkeypatch):
    (videos / "empty.mp4").touch()
    write_files(videos, "locked.mp4")
    assert folder.check_file("videos/empty.mp4")[:3] == ("corrupt", "the file is empty", 0)
    assert folder.check_file("videos/gone.mp4") == ("unreadable", "no such file", None, None)
    assert folder.check_file("videos/a\0b.mp4")[0] == "unreadable"
    assert folder.check_file("videos/" + "x" * 300)[0] == "unreadable"

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert folder.check_file("videos/locked.mp4") == ("unreadable", "permission denied", None, None)


@linux
def test_check_never_waits_for_a_pipe_or_a_socket(videos):
    os.mkfifo(videos / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("videos/socket.mp4")
    assert paths() == ["videos/pipe.mp4", "videos/socket.mp4"]
    for path in [*paths(), "/dev/zero"]:
        assert folder.check_file(path)[:2] == ("unreadable", "a pipe or device where a file should be")


def test_fetch_leaves_files_in_place(videos):
    write_files(videos, "a.mp4", "b.wav")
    (videos / "c.jpg").touch()
    video, sound, picture = (folder.fetch(r, None) for r in rows())
    assert video.value["audio"] == video.value["video"] == {"bytes": None, "path": "videos/a.mp4"}
    assert video.extra["size"] == 1 and video.extra["modified"] == (videos / "a.mp4").stat().st_mtime_ns
    assert (sound.value["audio"]["path"], sound.value["video"]) == ("videos/b.wav", None)
    assert (picture.status, picture.detail, picture.value) == ("corrupt", "the file is empty", None)


@pytest.mark.parametrize("action", ["grow", "touch", "remove", "empty"])
def test_a_stamp_changes_with_the_file(videos, action):
    write_files(videos, "a.mp4", "b.mp4")
    clip, other_clip = rows()
    before, other_before = folder.stamp(clip), folder.stamp(other_clip)
    assert before == folder.stamp(clip)
    file = videos / "a.mp4"
    match action:
        case "grow":
            file.write_bytes(b"xy")
        case "touch":
            os.utime(file, ns=(1, 1))
        case "remove":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
    assert folder.stamp(clip) != before
    assert folder.stamp(other_clip) == other_before


# ---- real recordings


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real clips beside the checkout")
def test_real_clips():
    clips = rows(REAL)
    assert len(clips) == 17 and len({r["clip_id"] for r in clips}) == 17
    assert all(folder.check_file(r["audio"] or r["video"])[0] == "ok" for r in clips)
    assert clips[0]["labels"] == ["Flute", "Acoustic guitar"]
    assert [r["labels"] for r in clips[1:12]] == [["Speech"]] * 11
    assert [r["labels"] for r in clips[12:]] == [["Silent"]] * 4 + [["Tone"]]
    assert clips[-1]["video"] is None and clips[-1]["audio"].endswith("/sine_mono_s16.wav")
    one, two = (r for r in clips if r["video"] and r["video"].endswith("test_video.mp4"))
    assert (one["start"], one["end"], two["start"], two["end"]) == (10.0, 20.0, 60.0, 70.0)
    assert one["clip_id"] != two["clip_id"]
