"""Windows cut from the shards: the right clip, the right place, only what is real."""

import multiprocessing
import pickle
import time
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset import augment
from pipeline.errors import UserError
from pipeline.store.values import ClipArrays
from testing import toy

N, FREQ, TIME, FRAMES = 7, 4, 41, 5
DEFAULTS = toy.AUGMENT.model_dump()
SECONDS = [0.4, 0.3, 0.25, 0.4, 0.4, 0.4, 0.4]


@pytest.fixture
def folder(tmp_path):
    """Spectrogram i at column t is 100 i + t, frame k of clip i is 10 i + k; clips 2 and 5 are lost."""
    sound = (100 * np.arange(N)[:, None, None, None] + np.arange(TIME)).astype(np.float16)
    sound = np.broadcast_to(sound, (N, 1, FREQ, TIME))
    picture = (10 * np.arange(N)[:, None] + np.arange(FRAMES)).astype(np.uint8)
    picture = np.broadcast_to(picture[..., None, None, None], (N, FRAMES, 4, 6, 3))
    for name, values, lost in (("spectrogram", sound, 2), ("frames", picture, 5)):
        (tmp_path / name).mkdir()
        rows = []
        for shard in range(3):
            ids = list(range(N))[3 * shard : 3 * shard + 3]
            good = [i for i in ids if i != lost]
            np.save(tmp_path / name / f"{shard:05d}.npy", values[good])
            for i in ids:
                row = {"clip_id": f"c{i}", "shard": shard, "row": good.index(i) if i != lost else None}
                row |= {
                    "status": "ok" if i != lost else "corrupt",
                    "digest": f"{name}{i}",
                    "seconds": SECONDS[i] if i != lost else None,
                }
                rows.append(row | {"times": [0.04 + 0.08 * k for k in range(FRAMES)]})
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name / "index.parquet")
    ids = [f"c{i}" for i in range(N)]
    split = ["train", "val", None, "test", "train", None, "train"]
    pq.write_table(
        pa.table({"clip_id": ids, "split": split, "group": ids, "recording": ids}),
        tmp_path / "splits.parquet",
    )
    labels = [["x"], [], ["y"], None, ["x", "y"], ["y"], ["z"]]
    pq.write_table(
        pa.table({"clip_id": ids, "labels": labels, "subject": [None] * N}), tmp_path / "clips.parquet"
    )
    return tmp_path


def load(folder, frames=1, **audio):
    return toy.load(folder, SimpleNamespace(window_frames=frames), SimpleNamespace(**vars(toy.AUDIO) | audio))


def test_only_what_is_ok_and_has_a_split(folder):
    data = load(folder)
    assert data.clip_id == ["c0", "c1", "c3", "c4", "c6"]
    assert data.of("train").tolist() == [0, 3, 4]
    assert data.labels == [["x"], [], [], ["x", "y"], ["z"]]
    assert data.audio_shape == (1, FREQ, 20) and data.video_shape == (1, 4, 6, 3)


def test_a_window_is_of_its_clip_and_only_of_what_is_real(folder):
    data = load(folder)
    for clip, number in enumerate((0, 1, 3, 4, 6)):
        last = {1: 11}.get(number, 21)  # 0.3 s are 30 columns and one more, 0.4 s are 41
        for at, start in ((0.0, 0), (0.5, (last + 1) // 2), (0.999, last), (1.0, last)):
            audio, video = data.read(np.array([clip]), np.array([at]))
            assert audio.dtype == np.float16 and video.dtype == np.uint8
            assert np.array_equal(audio[0, 0, 0], 100 * number + np.arange(start, start + 20))
            frame = int(np.abs(data.times[clip] - (start + 10) / 100).argmin())
            assert (video == 10 * number + frame).all()


def test_several_frames_come_in_order_around_the_middle(folder):
    data = load(folder, frames=3)
    _, video = data.read(np.array([0, 0, 0]), np.array([0.0, 0.5, 1.0]))
    assert video[:, :, 0, 0, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert load(folder, frames=5).read(np.array([0]))[1][0, :, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_window_longer_than_what_is_stored_is_what_is_stored(folder):
    data = load(folder, window_seconds=0.5)
    assert data.audio_shape == (1, FREQ, TIME)
    assert data.read(np.array([0]), 0.7)[0].shape == (1, 1, FREQ, TIME)


def test_a_worker_maps_the_shards_for_itself(folder):
    data = load(folder)
    here = data.read(np.arange(5))
    assert len(pickle.dumps(data)) < 20_000
    with multiprocessing.get_context("fork").Pool(1) as pool:
        there = pool.apply(pickle.loads(pickle.dumps(data)).read, (np.arange(5),))
    assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))


def test_no_more_shards_are_open_than_may_be(folder, monkeypatch):
    monkeypatch.setattr(ClipArrays, "MAPPED", 2)
    data = load(folder)
    assert data.read(np.array([0, 2, 4, 0]))[0][:, 0, 0, 0].tolist() == [11.0, 311.0, 611.0, 11.0]
    assert len(data.audio._arrays) == 2


def test_what_is_missing_is_told_in_one_line(folder):
    (folder / "frames" / "00002.npy").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"frames/00002.npy: cannot be read"):
        load(folder).read(np.array([4]))
    (folder / "splits.parquet").unlink()
    with pytest.raises(UserError, match=r"splits.parquet: not there: run dvc repro"):
        load(folder)


def test_no_usable_clip_is_told(folder):
    table = pq.read_table(folder / "splits.parquet")
    pq.write_table(table.set_column(1, "split", pa.array([None] * N, pa.string())), folder / "splits.parquet")
    with pytest.raises(UserError, match="no clip has both sound and picture"):
        load(folder)


def test_reading_is_quick(tmp_path):
    data = toy.load(toy.write(tmp_path / "d", counts=(256, 0, 0), size=(112, 112), shard_size=64))
    clips = np.random.default_rng(0).integers(0, 256, (8, 64))
    data.read(clips[0])
    began = time.perf_counter()
    for batch in clips:
        data.read(batch, 0.3)
    assert clips.size / (time.perf_counter() - began) > 3000


def test_augmentation_is_seeded_and_keeps_shapes(folder):
    audio, video = load(folder, frames=2).read(np.arange(5))
    mel, stft = (augment.Augment(f, **DEFAULTS) for f in ("mel", "stft"))
    for change in (
        lambda rng: mel.pictures(video, rng),
        lambda rng: mel.louder(audio, rng),
        lambda rng: stft.louder(audio, rng),
        lambda rng: mel.masked(audio, rng),
    ):
        one, same, other = (change(np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert np.array_equal(one, same) and not np.array_equal(one, other)
        assert one.dtype in (audio.dtype, video.dtype) and np.isfinite(one).all()
    assert mel.pictures(video, np.random.default_rng(0)).shape == video.shape
    louder = mel.louder(audio, np.random.default_rng(0)).astype(float) - audio
    assert (np.abs(louder - louder[:, :1, :1, :1]) < 0.5).all()  # one gain a window, but for float16


def test_a_crop_keeps_all_frames_of_a_window_alike():
    picture = np.random.default_rng(0).integers(0, 256, (1, 1, 40, 50, 3)).astype(np.uint8)
    change = augment.Augment("mel", **DEFAULTS)
    out = change.pictures(picture.repeat(3, axis=1), np.random.default_rng(3))
    assert (out == out[:, :1]).all()


def test_augmentation_can_be_turned_off(folder):
    audio, video = load(folder, frames=2).read(np.arange(5))
    off = DEFAULTS | {"crop": 1.0, "flip": False, "brightness": [1.0, 1.0], "saturation": [1.0, 1.0]}
    off |= {"loudness": 0.0, "mask_freq": 0.0, "mask_time": 0.0}
    same = augment.Augment("mel", **off)(audio, video, (0, 1, 2))
    assert np.array_equal(same[0], audio) and np.array_equal(same[1], video)


def test_a_window_is_looked_at_where_one_says(folder):
    data = load(folder, frames=1)
    clip = np.array([0, 0, 0])
    start, middle = data.place(clip, 0.5)
    _, asked = data.place(clip, 0.5, np.array([0.0, 0.5, 1.0]))
    windows = data.windows
    ends = windows.start_seconds(start[:, None] + windows.columns * np.array([[0.0], [0.5], [1.0]]))
    nearest = np.abs(data.times[clip] - ends).argmin(1)
    assert asked[:, 0].tolist() == nearest.tolist() and asked[1] == middle[1]


def test_noise_raises_and_a_roll_only_moves(folder):
    audio, video = load(folder, frames=2).read(np.arange(5))
    off = DEFAULTS | {"crop": 1.0, "flip": False, "loudness": 0.0, "mask_freq": 0.0, "mask_time": 0.0}
    noisy = augment.Augment("mel", **off | {"noise": 3.0})(audio, video, (0, 1, 2))[0].astype(float) - audio
    assert noisy.min() >= -0.1 and 0 < noisy.max() <= 3.1 and noisy[0].std() > 0
    rolled = augment.Augment("mel", **off | {"roll": True})(audio, video, (0, 1, 2))[0]
    assert not np.array_equal(rolled, audio)
    assert np.array_equal(np.sort(rolled, axis=3), np.sort(audio, axis=3))
    for one, other in zip(rolled, audio, strict=True):
        assert any(np.array_equal(one, np.roll(other, k, axis=2)) for k in range(audio.shape[3]))


@pytest.mark.parametrize("name", ["note", "heard", "seen", "group", "0"])
def test_a_value_of_any_column_is_part_of_the_digest(folder, name):
    """Training goes by it: a label that is mended is another data set, however its column is called."""
    table, found = pq.read_table(folder / "clips.parquet"), []
    for value in ("a", "b"):
        pq.write_table(table.append_column(name, pa.array([value] * N)), folder / "clips.parquet")
        found.append(load(folder))
    assert found[0].columns[name] == ["a"] * len(found[0])
    assert found[0].digest != found[1].digest
