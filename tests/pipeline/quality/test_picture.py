"""Measures of pictures whose values are known."""

import numpy as np
import pytest

from pipeline.quality.picture import VideoQualityStep, measure_pictures
from pipeline.quality.picture_hash import get_hashes, is_part


def scene(seed: int = 0, height: int = 64, width: int = 64) -> np.ndarray:
    """Return a picture of random rectangles, uint8 RGB."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128, np.uint8)
    for _ in range(30):
        top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
        picture[top : top + rng.integers(6, 24), left : left + rng.integers(6, 24)] = rng.integers(60, 255, 3)
    return picture


def measure(*pictures: np.ndarray) -> dict:
    return measure_pictures(np.stack(pictures))


def test_a_still_picture_does_not_change():
    assert measure(scene(), scene(), scene()) == {
        "change": 0.0,
        "motion": 0.0,
        "black": 0.0,
        "letterbox": 0.0,
        "cuts": 0,
    }


def test_motion_is_that_of_the_part_that_moves():
    first = np.full((64, 64, 3), 100, np.uint8)
    second = first.copy()
    second[:8, :8] = 151  # one of 8 x 8 parts
    measures = measure(first, second)
    assert measures["motion"] == pytest.approx(0.2) and measures["change"] == pytest.approx(0.2 / 64)


def test_one_frame_shows_no_change():
    measures = measure(scene())
    assert (measures["change"], measures["motion"], measures["cuts"]) == (None, None, None)


def test_black_is_the_share_of_black_frames():
    black = np.full((64, 64, 3), 12, np.uint8)
    assert measure(black, scene(), scene(), scene())["black"] == 0.25
    assert measure(black, black)["cuts"] == 0


@pytest.mark.parametrize(
    ("rows", "columns", "share"),
    [((8, 56), (0, 64), 0.25), ((0, 64), (8, 56), 0.25), ((16, 48), (8, 56), 0.625), ((8, 64), (0, 64), 0.0)],
)
def test_letterbox_is_the_share_of_bars_at_two_sides(rows, columns, share):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[slice(*rows), slice(*columns)] = scene()[slice(*rows), slice(*columns)]
    assert measure(picture, picture)["letterbox"] == pytest.approx(share, abs=0.05)


def test_cuts_are_counted():
    a, b = scene(1), scene(2)
    assert measure(a, a, b, b, a, a, a, a)["cuts"] == 2


@pytest.mark.parametrize(("n_frames", "height", "width"), [(1, 16, 16), (3, 64, 64), (9, 48, 100)])
def test_each_size_and_number_of_frames_is_described(n_frames, height, width):
    step = VideoQualityStep(n_frames)
    frames = np.stack([scene(i, height, width) for i in range(n_frames)])
    [outcome] = step([{}], [frames])
    assert outcome.value.shape == step.layout.format.shape and outcome.value.any()


def describe(picture: np.ndarray) -> np.ndarray:
    [outcome] = VideoQualityStep(1)([{}], [picture[None]])
    return outcome.value[0]


def test_a_part_of_a_picture_is_one_and_another_picture_is_none():
    picture = scene(3, 112, 112)
    assert is_part(describe(picture), describe(picture[6:96, 15:105]))
    assert not is_part(describe(picture), describe(scene(4, 112, 112)))
    assert not is_part(describe(picture), describe(picture[..., ::-1]))  # other colours


def test_a_picture_that_shows_nothing_has_no_hash():
    assert not get_hashes(describe(np.full((64, 64, 3), 90, np.uint8))).any()
