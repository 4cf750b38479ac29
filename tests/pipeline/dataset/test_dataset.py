"""Windows read from shards: the right clip, the right position, no padding."""

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
    """Spectrogram i at column t is 100 i + t, frame k of clip i is 10 i + k; clips 2 and 5 failed."""
    sound = (100 * np.arange(N)[:, None, None, None] + np.arange(TIME)).astype(np.float16)
    sound = np.broadcast_to(sound, (N, 1, FREQ, TIME))
    picture = (10 * np.arange(N)[:, None] + np.arange(FRAMES)).astype(np.uint8)
    picture = np.broadcast_to(picture[..., None, None, None], (N, FRAMES, 4, 6, 3))
    for name, values, failed in (("spectrogram", sound, 2), ("frames", picture, 5)):
        (tmp_path / name).mkdir()
        rows = []
        for shard in range(3):
            ids = list(range(N))[3 * shard : 3 * shard + 3]
            good = [i for i in ids if i != failed]
            np.save(tmp_path / name / f"{shard:05d}.npy", values[good])
            for i in ids:
                row = {"clip_id": f"c{i}", "shard": shard, "row": good.index(i) if i != failed else None}
                row |= {
                    "status": "ok" if i != failed else "corrupt",
                    "digest": f"{name}{i}",
                    "seconds": SECONDS[i] if i != failed else None,
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


def test_clips_that_are_ok_and_have_a_split(folder):
    data = load(folder)
    assert data.clip_id == ["c0", "c1", "c3", "c4", "c6"]
    assert data.indices("train").tolist() == [0, 3, 4]
    assert data.labels == [["x"], [], [], ["x", "y"], ["z"]]
    assert data.audio_shape == (1, FREQ, 20) and data.video_shape == (1, 4, 6, 3)


def test_a_window_is_of_its_clip_and_without_padding(folder):
    data = load(folder)
    for clip, number in enumerate((0, 1, 3, 4, 6)):
        last = {1: 11}.get(number, 21)  # 0.3 s are 30 columns and one more, 0.4 s are 41
        for position, start in ((0.0, 0), (0.5, (last + 1) // 2), (0.999, last), (1.0, last)):
            audio, video = data.read(np.array([clip]), np.array([position]))
            assert audio.dtype == np.float16 and video.dtype == np.uint8
            assert np.array_equal(audio[0, 0, 0], 100 * number + np.arange(start, start + 20))
            frame = int(np.abs(data.times[clip] - (start + 10) / 100).argmin())
            assert (video == 10 * number + frame).all()


def test_several_frames_are_in_order_around_the_middle(folder):
    data = load(folder, frames=3)
    _, video = data.read(np.array([0, 0, 0]), np.array([0.0, 0.5, 1.0]))
    assert video[:, :, 0, 0, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert load(folder, frames=5).read(np.array([0]))[1][0, :, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_window_longer_than_the_clip_is_the_whole_clip(folder):
    data = load(folder, window_seconds=0.5)
    assert data.audio_shape == (1, FREQ, TIME)
    assert data.read(np.array([0]), 0.7)[0].shape == (1, 1, FREQ, TIME)


def test_a_worker_process_maps_the_shards_again(folder):
    data = load(folder)
    expected = data.read(np.arange(5))
    assert len(pickle.dumps(data)) < 20_000
    with multiprocessing.get_context("fork").Pool(1) as pool:
        arrays = pool.apply(pickle.loads(pickle.dumps(data)).read, (np.arange(5),))
    assert all(np.array_equal(a, b) for a, b in zip(expected, arrays, strict=True))


def test_the_number_of_open_shards_is_limited(folder, monkeypatch):
    monkeypatch.setattr(ClipArrays, "MAX_MAPPED", 2)
    data = load(folder)
    assert data.read(np.array([0, 2, 4, 0]))[0][:, 0, 0, 0].tolist() == [11.0, 311.0, 611.0, 11.0]
    assert len(data.audio._arrays) == 2


def test_missing_and_broken_files_are_one_line_errors(folder):
    (folder / "frames" / "00002.npy").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"frames/00002.npy: cannot be read"):
        load(folder).read(np.array([4]))
    (folder / "splits.parquet").unlink()
    with pytest.raises(UserError, match=r"splits.parquet: not there: run dvc repro"):
        load(folder)


def test_no_usable_clip_is_an_error(folder):
    table = pq.read_table(folder / "splits.parquet")
    pq.write_table(table.set_column(1, "split", pa.array([None] * N, pa.string())), folder / "splits.parquet")
    with pytest.raises(UserError, match="no clip has both sound and picture"):
        load(folder)


def test_reading_speed(tmp_path):
    data = toy.load(toy.write(tmp_path / "d", counts=(256, 0, 0), size=(112, 112), shard_size=64))
    clips = np.random.default_rng(0).integers(0, 256, (8, 64))
    data.read(clips[0])
    start = time.perf_counter()
    for batch in clips:
        data.read(batch, 0.3)
    assert clips.size / (time.perf_counter() - start) > 3000


def test_augmentation_is_seeded_and_keeps_shapes(folder):
    audio, video = load(folder, frames=2).read(np.arange(5))
    mel, stft = (augment.Augment(f, **DEFAULTS) for f in ("mel", "stft"))
    for augmentation in (
        lambda rng: mel.augment_frames(video, rng),
        lambda rng: mel.vary_loudness(audio, rng),
        lambda rng: stft.vary_loudness(audio, rng),
        lambda rng: mel.mask(audio, rng),
    ):
        one, same, other = (augmentation(np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert np.array_equal(one, same) and not np.array_equal(one, other)
        assert one.dtype in (audio.dtype, video.dtype) and np.isfinite(one).all()
    assert mel.augment_frames(video, np.random.default_rng(0)).shape == video.shape
    gain = mel.vary_loudness(audio, np.random.default_rng(0)).astype(float) - audio
    assert (np.abs(gain - gain[:, :1, :1, :1]) < 0.5).all()  # one gain per window, up to float16 rounding


def test_samples_get_a_factor_and_no_frequency_mask():
    samples = np.random.default_rng(0).normal(0, 0.1, (3, 1, 160, 50)).astype(np.float16)
    louder = augment.Augment("waveform", **DEFAULTS).vary_loudness(samples, np.random.default_rng(0))
    factor = np.median(louder / samples, axis=(1, 2, 3), keepdims=True)
    assert louder.dtype == np.float16 and np.abs(louder - factor * samples).max() < 1e-2
    only_frequencies = DEFAULTS | {"mask_freq": 1.0, "mask_time": 0.0}
    masked = augment.Augment("waveform", **only_frequencies).mask(samples, np.random.default_rng(0))
    assert np.array_equal(masked, samples)


def test_loudness_leaves_features_without_a_level():
    features = np.ones((2, 1, 20, 9), np.float16)
    for feature in ("mfcc", "pcen", "chroma"):
        louder = augment.Augment(feature, **DEFAULTS).vary_loudness(features, np.random.default_rng(0))
        assert np.array_equal(louder, features)
    assert not np.array_equal(
        augment.Augment("cqt", **DEFAULTS).vary_loudness(features, np.random.default_rng(0)), features
    )


def test_all_frames_of_a_window_are_cropped_the_same():
    picture = np.random.default_rng(0).integers(0, 256, (1, 1, 40, 50, 3)).astype(np.uint8)
    augmentation = augment.Augment("mel", **DEFAULTS)
    out = augmentation.augment_frames(picture.repeat(3, axis=1), np.random.default_rng(3))
    assert (out == out[:, :1]).all()


def test_augmentation_can_be_turned_off(folder):
    audio, video = load(folder, frames=2).read(np.arange(5))
    off = DEFAULTS | {"crop": 1.0, "flip": False, "brightness": [1.0, 1.0], "saturation": [1.0, 1.0]}
    off |= {"loudness": 0.0, "mask_freq": 0.0, "mask_time": 0.0}
    same = augment.Augment("mel", **off)(audio, video, (0, 1, 2))
    assert np.array_equal(same[0], audio) and np.array_equal(same[1], video)


def test_frames_are_nearest_to_the_frame_position(folder):
    data = load(folder, frames=1)
    clip = np.array([0, 0, 0])
    start, middle = data.locate_windows(clip, 0.5)
    _, frames = data.locate_windows(clip, 0.5, np.array([0.0, 0.5, 1.0]))
    windows = data.windows
    moments = windows.start_seconds(start[:, None] + windows.columns * np.array([[0.0], [0.5], [1.0]]))
    nearest = np.abs(data.times[clip] - moments).argmin(1)
    assert frames[:, 0].tolist() == nearest.tolist() and frames[1] == middle[1]


def test_noise_adds_and_roll_permutes(folder):
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
    """Training depends on it: a corrected label makes another data set, whatever its column is called."""
    table, datasets = pq.read_table(folder / "clips.parquet"), []
    for value in ("a", "b"):
        pq.write_table(table.append_column(name, pa.array([value] * N)), folder / "clips.parquet")
        datasets.append(load(folder))
    assert datasets[0].columns[name] == ["a"] * len(datasets[0])
    assert datasets[0].digest != datasets[1].digest
