"""Clips of long files: consecutive or at random, within the file, on one side of a split, cheap to find."""

import contextlib
import os
import struct
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import read
from pipeline.dataset.split import assign_splits
from pipeline.media import durations
from pipeline.media.wav import write_wav
from pipeline.sources import cutting, folder
from testing import defaults
from testing.recordings import record, sine

PARAMS = read(defaults.PARAMS)
ENGINE = PARAMS.engine.model_copy(update={"workers": 1, "timeout": 30.0})


def settings(**changes):
    changes = {"folder": "videos", "clip_seconds": 1.5, "cut": "all", "per_file": 150} | changes
    return PARAMS.data.model_copy(update=changes)


def write_sound(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_wav(np.zeros(round(seconds * 1000), np.int16), 1000))


# --- where clips begin

lengths = st.floats(0.001, 1e5) | st.sampled_from([1e12, 4.0, 8.0, 7.999])


@given(
    lengths, st.floats(0.01, 100), st.integers(1, 200), st.sampled_from(["all", "sample"]), st.integers(0, 9)
)
def test_clips_are_in_the_file_and_do_not_overlap(seconds, clip_seconds, per_file, cut, seed):
    data = settings(clip_seconds=clip_seconds, per_file=per_file, cut=cut, seed=seed)
    starts = cutting.choose_starts(seconds, data, "a")
    assert len(starts) <= per_file and starts == cutting.choose_starts(seconds, data, "a")
    if not starts:  # one clip, from the beginning
        assert seconds < 2 * clip_seconds + 0.001
        return
    rounding = 0.001 + 1e-9 * seconds
    assert starts[0] >= 0 and starts[-1] + 0.89 * clip_seconds <= seconds + rounding
    assert all(b - a >= clip_seconds - rounding for a, b in zip(starts, starts[1:], strict=False))
    if cut == "all" and seconds < per_file * clip_seconds:  # all that is there, but for a rest
        assert seconds - len(starts) * clip_seconds < clip_seconds


def test_fewer_clips_are_evenly_spread():
    starts = cutting.choose_starts(600.0, settings(clip_seconds=4.0, per_file=3), "a")
    assert starts == [100.0, 300.0, 500.0]
    assert cutting.choose_starts(8.0, settings(clip_seconds=4.0), "a") == [0.0, 4.0]


def test_random_clips_differ_by_file_and_by_seed():
    def starts(name: str, seed: int) -> list[float]:
        return cutting.choose_starts(601.0, settings(cut="sample", per_file=5, seed=seed), name)

    assert len({tuple(starts(name, seed)) for name in "ab" for seed in (0, 1)}) == 4


# --- durations


def test_durations_come_from_headers_or_from_the_packets(tmp_path):
    record(tmp_path / "film.flv", frames=45, sound=sine(1.5))
    record(tmp_path / "film.ts", frames=45, codec="mpeg2video", sound=sine(1.5), sound_codec="mp2")
    live = {"live": "1"}  # its header has no duration
    record(tmp_path / "live.mkv", frames=45, codec="mpeg4", container_options=live)
    cv2.imwrite(str(tmp_path / "still.png"), np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    (tmp_path / "list.mp4").write_text("#EXTM3U\nfilm.flv\n")
    names = ("film.flv", "film.ts", "live.mkv", "still.png", "broken.mp4", "list.mp4")
    outcomes = list(durations.durations_step([{"video": str(tmp_path / name)} for name in names], []))
    assert [outcome.status for outcome in outcomes] == ["ok"] * 4 + ["corrupt", "refused"]
    seconds = [outcome.extra["seconds"] for outcome in outcomes[:4]]
    assert seconds[:3] == pytest.approx([1.5] * 3, abs=0.1) and seconds[3] is None


def test_a_header_that_claims_years_gives_few_clips(tmp_path):
    content = record(tmp_path / "film.flv", frames=45, sound=sine(1.5)).read_bytes()
    value = content.index(b"duration") + len("duration") + 1  # a number of 8 bytes, after its type
    (tmp_path / "years.flv").write_bytes(content[:value] + struct.pack(">d", 1e9) + content[value + 8 :])
    [outcome] = durations.durations_step([{"video": str(tmp_path / "years.flv")}], [])
    assert outcome.extra["seconds"] == pytest.approx(1e9)
    for cut in ("all", "sample"):
        assert len(cutting.choose_starts(1e9, settings(cut=cut, clip_seconds=1e-9), "a")) == 150


# --- the clip table


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with long and short sounds, a still picture and a file that is none."""
    root = tmp_path_factory.mktemp("cutting")
    with contextlib.chdir(root):
        for i in range(6):
            write_sound(Path(f"videos/a/long {i}.wav"), 7.6)
        write_sound(Path("videos/b/short.wav"), 1.0)
        cv2.imwrite("videos/b/still.png", np.zeros((20, 20, 3), np.uint8))
        Path("videos/b/broken.mp4").write_bytes(b"no film")
        Path("data").mkdir()
        yield root


def cut(**changes) -> tuple[pa.Table, str]:
    data = settings(**changes)
    return cutting.cut_files(folder.clips(data).table, data, ENGINE)


def test_long_files_become_clips_of_one_side(project, capsys):
    table, line = cut()
    clips = defaultdict(list)
    for row in table.to_pylist():
        clips[row["video_id"]].append(row)
    assert {len(clips[f"a/long {i}.wav"]) for i in range(6)} == {5} and len(table) == 33
    assert [(row["start"], row["end"]) for row in clips["a/long 0.wav"]] == [
        (0, 1.5), (1.5, 3), (3, 4.5), (4.5, 6), (6, 7.5)
    ]  # fmt: skip
    whole = folder.clips(settings()).table.to_pylist()
    for name in ("b/short.wav", "b/still.png", "b/broken.mp4"):  # as without `cut`
        assert clips[name] == [row for row in whole if row["video_id"] == name]
    assert line == (
        "7 files: 0.8 of 0.8 minutes are in clips (data.cut: all, at most 150 clips of a file);"
        " 2 still pictures, or files that cannot be read, are one clip each"
    )
    index = pa.table(
        {"clip_id": table["clip_id"], "status": ["ok"] * 33, "detail": [""] * 33, "seconds": [1.5] * 33}
    )
    splits = assign_splits(table, index, index, PARAMS.split, 1.0)
    sides = {(row["group"], row["split"]) for row in splits.to_pylist()}
    assert len(sides) == 9  # one for each file
    capsys.readouterr()
    assert cut()[0].equals(table) and "0 made" in capsys.readouterr().out  # durations are read once
    os.utime("videos/a/long 3.wav", (1, 1))
    cut()
    assert " 1 made" in capsys.readouterr().out


def test_the_first_seconds_and_a_few_at_random(project):
    table, line = cut(cut="first")
    assert (
        table.equals(folder.clips(settings()).table)
        and line == "9 files: the first 1.5 s of each (data.cut: first)"
    )
    table, line = cut(cut="sample", per_file=2)
    assert len(table) == 6 * 2 + 3 and "0.3 of 0.8 minutes are in clips (data.cut: sample, at most 2" in line
    starts = [row["start"] for row in table.to_pylist() if row["video_id"].startswith("a/")]
    assert len(set(starts)) > 6 and max(starts) <= 6.1


def test_rows_with_times_and_pairs(project):
    (project / "videos/clips.csv").write_text(
        "audio,video,clip_id,start,end,video_start\na/long 0.wav,b/still.png,,,,\na/long 1.wav,,mine,,,\n"
        "a/long 2.wav,,,2,,\na/long 3.wav,b/still.png,,,,1\n"
    )
    try:
        rows = cut()[0].to_pylist()
    finally:
        (project / "videos/clips.csv").unlink()
    assert len(rows) == 5 + 5 + 1 + 1  # the still picture lasts as long as the sound
    assert {row["video"] for row in rows[:5]} == {"videos/b/still.png"} and len(
        {r["video_id"] for r in rows[:5]}
    ) == 1
    assert rows[5]["clip_id"].startswith("mine_0-1.5-") and rows[10]["start"] == 2 and rows[10]["end"] is None
