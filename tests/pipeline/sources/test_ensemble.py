import hashlib
import io
import subprocess
import sys
from collections import Counter
from functools import cache

import av
import cv2
import numpy as np
import pytest

from pipeline.config import DataParams, read
from pipeline.config.data import EnsembleParams
from pipeline.errors import UserError
from pipeline.sources import ensemble
from pipeline.sources.ensemble import faults
from pipeline.sources.ensemble.picture import HEIGHT, WIDTH
from pipeline.sources.ensemble.sound import HIGH, LOW, RATE, random_phrase, synthesize
from testing import defaults


def data(
    clips: int = 40,
    broken: float = 0.5,
    seconds: float = 2.0,
    seed: int = 0,
    faults: float = 0.0,
    negatives: int = 0,
) -> DataParams:
    section = EnsembleParams(clips=clips, broken=broken, faults=faults, negatives=negatives, seed=seed)
    changes = {"clip_seconds": seconds, "ensemble": section}
    return read(defaults.PARAMS).data.model_copy(update=changes)


@cache
def rows() -> list[dict]:
    return ensemble.clips(data()).table.to_pylist()


def first_number(kind: str) -> int:
    return next(i for i, row in enumerate(rows()) if row["kind"] == kind)


def decode(content: bytes) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the frames, each (height, width, 3), and the sound (time,)."""
    frames, waves = [], [np.zeros(0, np.float32)]
    with av.open(io.BytesIO(content)) as file:
        assert file.format.name == "flv"
        for frame in file.decode():
            if isinstance(frame, av.VideoFrame):
                frames.append(frame.to_ndarray(format="rgb24"))
            else:
                waves.append(frame.to_ndarray()[0])
    return frames, np.concatenate(waves)


def test_bytes_are_the_same_in_another_process():
    code = (
        "import hashlib; from types import SimpleNamespace as N; from pipeline.sources import ensemble as e;"
        "d = N(clip_seconds=2.0, ensemble=N(clips=9999, broken=0.5, faults=0, seed=0));"
        "print(*(hashlib.sha256(e.render(k, d)).hexdigest() for k in (7, 3)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    digests = [hashlib.sha256(ensemble.render(k, data())).hexdigest() for k in (3, 7)]
    assert output.split() == digests[::-1]


def test_seed_changes_clips():
    assert ensemble.render(3, data()) != ensemble.render(3, data(seed=1))


def test_a_clip_stays_when_others_are_added():
    assert ensemble.clips(data(clips=100)).table.slice(0, 40).to_pylist() == rows()


def test_import_is_light():
    code = "import sys, pipeline.sources.ensemble; print(*{'torch', 'librosa', 'sklearn'} & set(sys.modules))"
    assert not subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_labels_are_skewed_and_complete():
    table = ensemble.clips(data(clips=400, broken=0.05)).table.to_pylist()
    count = Counter(row["labels"][0] for row in table)
    assert set(count) == set(ensemble.LABELS)
    assert 4 <= max(count.values()) / min(count.values()) <= 6
    assert sum(row["kind"] != "whole" for row in table) == pytest.approx(20, abs=1)
    assert {row["kind"] for row in table} == {"whole", *ensemble.KINDS}
    assert 0.1 < np.mean([row["silent_box"] is not None for row in table]) < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_few_clips_have_several_labels_twice(seed):
    count = Counter(row["labels"][0] for row in ensemble.clips(data(clips=16, seed=seed)).table.to_pylist())
    assert sum(n >= 2 for n in count.values()) >= 4


def test_whole_clip_is_flv1_and_mp3_and_long_enough():
    content = ensemble.render(first_number("whole"), data())
    with av.open(io.BytesIO(content)) as file:
        assert file.streams.video[0].codec_context.name == "flv"
        assert file.streams.audio[0].codec_context.name.startswith("mp3")
    frames, waves = decode(content)
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    assert len(frames) / ensemble.picture.FPS >= 2.0
    assert len(waves) / RATE >= 2.0
    assert np.abs(np.diff(np.stack(frames).astype(int), axis=0)).max() > 60


@pytest.mark.parametrize("kind", ensemble.KINDS)
def test_broken_clips_are_broken_as_they_claim(kind):
    number = first_number(kind)
    row = rows()[number]
    frames, waves = decode(ensemble.render(number, data()))
    assert bool(frames) == (kind != "no_video")
    assert bool(waves.size) == (kind != "no_audio")
    assert (row["box"] is None) == (kind == "no_video")
    if kind == "short":
        assert len(waves) / RATE < 0.75 * 2.0
    if kind == "truncated":
        assert 0.3 < len(waves) / RATE < 1.95
    if kind == "still":
        assert np.abs(np.diff(np.stack(frames).astype(int), axis=0)).mean() < 1.5
    if kind == "duet":
        assert len(set(row["labels"])) == 2
        assert row["second_box"] is not None


def test_boxes_are_in_the_frame_and_contain_all_movement():
    numbers = [i for i, row in enumerate(rows()) if row["kind"] == "whole"][:8]
    for number in numbers:
        x0, y0, x1, y1 = rows()[number]["box"]
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert y1 - y0 > 0.25
        frames = np.stack(decode(ensemble.render(number, data()))[0]).astype(int)
        moves = np.ptp(frames, axis=0).max(-1)
        inside = np.zeros((HEIGHT, WIDTH), bool)
        inside[round(y0 * HEIGHT) : round(y1 * HEIGHT), round(x0 * WIDTH) : round(x1 * WIDTH)] = True
        assert np.percentile(moves[inside], 98) > 40
        outside = (
            cv2.dilate(inside.astype(np.uint8), np.ones((33, 33))) == 0
        )  # a block of the codec may extend beyond the box
        assert not outside.any() or (moves[outside] > 40).mean() < 0.01


def test_phrases_have_no_long_gap_and_stay_in_range():
    for seed in range(20):
        notes = random_phrase(np.random.default_rng(seed), 4.0)
        starts = np.array([0.0, *(note.start for note in notes), 4.0])
        assert np.diff(starts).max() < 1.0
        assert all(LOW - 1 < note.pitch < HIGH + 1 for note in notes)


def test_loudness_does_not_depend_on_the_instrument():
    levels = {}
    for name in ensemble.LABELS:
        decibels = []
        for seed in range(8):
            rng = np.random.default_rng(seed)
            decibels.append(
                10 * np.log10(np.mean(synthesize([(name, random_phrase(rng, 1.5))], rng, 1.5) ** 2))
            )
        levels[name] = np.mean(decibels)
    # The gain has a range of 12 dB: the standard deviation of a mean of 8 is about 1.2 dB.
    assert np.std(list(levels.values())) < 2.5
    assert all(-34 < level < -18 for level in levels.values())


def test_a_clip_of_another_source_is_an_error():
    with pytest.raises(UserError, match="not a clip of the synthetic ensemble"):
        ensemble.fetch({"clip_id": "../etc"}, data())
    value = ensemble.fetch(rows()[0], data()).value
    assert value["video"]["bytes"][:3] == b"FLV"


def test_faults_change_no_other_clip():
    table = ensemble.clips(data(faults=0.5)).table.to_pylist()
    faulty = [i for i, row in enumerate(table) if row["kind"] in faults.FAULTS and row != rows()[i]]
    assert 10 <= len(faulty) <= 20
    assert all(table[i] == row for i, row in enumerate(rows()) if i not in faulty)
    whole = next(i for i, row in enumerate(table) if row["kind"] == "whole")
    assert ensemble.render(whole, data(faults=0.5)) == ensemble.render(whole, data())


def test_a_copy_names_its_original_and_has_its_labels():
    table = ensemble.clips(data(faults=0.9, broken=0.0)).table.to_pylist()
    copies = [row for row in table if row["kind"] in faults.COPIES]
    assert {row["kind"] for row in copies} == {*faults.COPIES}
    by_address = {row["video"]: row for row in table}
    for row in copies:
        original, _, kind = row["video"].rpartition("/")
        assert kind == row["kind"] and row["labels"] == by_address[original]["labels"]


@pytest.fixture(scope="module")
def negative_rows():
    table = ensemble.clips(data(negatives=40)).table.to_pylist()
    assert table[:40] == rows()  # they come after the others, and change none
    return table[40:]


def test_nothing_in_view_sounds_in_negatives(negative_rows):
    assert [row["kind"] for row in negative_rows] == ["off_screen", "silent"] * 20
    for row in negative_rows:
        assert row["box"] is None and row["second_box"] is None and row["silent_box"] is not None
        assert len(row["labels"]) == (row["kind"] == "off_screen")
    assert len({label for row in negative_rows for label in row["labels"]}) > 4
    # The instrument that is heard is not the one in view.
    plans = [ensemble._make_negative_plan(number, data()) for number in range(0, 40, 2)]
    assert all(plan.off_screen != plan.silent[0].name and not plan.sounding for plan in plans)


def test_negatives_look_alike_and_one_kind_is_heard(negative_rows):
    content = {row["kind"]: ensemble.fetch(row, data()).value["video"]["bytes"] for row in negative_rows[2:4]}
    decoded = {kind: decode(flv) for kind, flv in content.items()}
    levels = {kind: waves.std() for kind, (_, waves) in decoded.items()}
    # At most the noise of a room, which MP3 leaves out if it is too quiet to hear.
    assert levels["off_screen"] > 10 ** (-34 / 20) and levels["silent"] < 10 ** (-36 / 20)
    for frames, _ in decoded.values():
        assert len(frames) / ensemble.picture.FPS >= 2.0
        assert np.abs(np.diff(np.stack(frames).astype(int), axis=0)).mean() < 1.5  # nothing plays
    assert content["silent"] == ensemble.render_negative(3, data())
