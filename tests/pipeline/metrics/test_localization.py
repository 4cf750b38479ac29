"""Where the sound is: worked by hand."""

import numpy as np
import pytest

from pipeline.metrics import localization
from pipeline.metrics.localization import boxes, evaluate, mask, overlap, peak, region


def at(row, column, size=(4, 4)):
    """A map with one place that stands out."""
    values = np.full(size, 0.1)
    values[row, column] = 0.9
    return values


def row(box, silent=None, second=None, aspect=1.0):
    return {"clip_id": "a", "aspect": aspect, "box": box, "silent_box": silent, "second_box": second}


def test_the_peak_is_the_middle_of_its_place():
    assert peak(at(0, 3)) == (0.875, 0.125)
    assert peak(at(1, 0, (2, 5))) == (0.1, 0.75)


def test_boxes_of_a_wide_picture_in_a_square_frame():
    """Of 4 : 3, an eighth is cut off on each side: 0.5 stays, 0.125 becomes 0."""
    found = boxes([row([0.125, 0.2, 0.5, 0.6], silent=[0.5, 0.0, 0.875, 1.0], aspect=4 / 3)], 112, 112)
    sounding, silent = found["a"]
    assert sounding == pytest.approx([0.0, 0.2, 0.5, 0.6]) and silent == pytest.approx([0.5, 0.0, 1.0, 1.0])


def test_boxes_of_a_high_picture_in_a_wide_frame():
    """Of 1 : 2 in a frame of 1 : 1, half of the height stays."""
    assert boxes([row([0.0, 0.25, 1.0, 0.5], aspect=0.5)], 50, 50)["a"][0] == pytest.approx(
        [0.0, 0.0, 1.0, 0.5]
    )


def test_clips_that_say_nothing_are_left_out():
    cut_off = row([0.0, 0.1, 0.1, 0.9], aspect=4.0)
    for nothing in (row(None), row([0, 0, 1, 1], second=[0, 0, 1, 1]), cut_off, {"clip_id": "of a folder"}):
        assert boxes([nothing], 112, 112) == {}


def test_overlap_by_hand():
    left, right = mask([0, 0, 0.5, 1]), mask([0.25, 0, 1, 1])
    assert overlap(left, left) == 1 and overlap(left, ~left) == 0
    assert overlap(left, right) == pytest.approx(0.25 / 1.0)
    assert mask([0, 0, 0.5, 0.25]).mean() == pytest.approx(0.125)


def test_the_region_is_where_the_map_is_largest():
    half = np.array([[0.2, 0.8]])
    assert region(half, 0.5).mean() == pytest.approx(0.5) and region(half, 0.5)[:, 34:].all()
    assert not region(half, 0.25)[:, :40].any() and region(half, 0.25).mean() == pytest.approx(0.25)


def test_a_model_that_is_right_and_one_that_points_at_the_silent():
    corners = [([0.0, 0.0, 0.25, 0.25], [0.75, 0.75, 1.0, 1.0]), ([0.75, 0.0, 1.0, 0.25], None)]
    right = np.stack([at(0, 0), at(0, 3)])
    found = evaluate(right, corners, 200, 0)
    assert (
        found["all"]["pointing"] == 1 and found["all"]["n"] == 2 and found["all"]["ci"]["pointing"] == [1, 1]
    )
    assert found["all"]["centre"]["pointing"] == 0 and "silent" not in found["all"]
    assert found["two_in_view"]["n"] == 1 and found["two_in_view"]["pointing"] == 1
    assert found["two_in_view"]["silent"]["pointing"] == 0 and found["two_in_view"]["silent"]["iou"] == 0
    assert 0 < found["all"]["iou"] < 1
    wrong = evaluate(np.stack([at(3, 3), at(3, 3)]), corners, 200, 0)
    assert wrong["all"]["pointing"] == 0
    mixed = evaluate(np.stack([at(0, 0), at(3, 3)]), corners, 200, 0)
    assert mixed["all"]["pointing"] == 0.5 and mixed["all"]["ci"]["pointing"] == [0, 1]


def test_no_clip_with_two_in_view():
    assert evaluate(at(0, 0)[None], [([0, 0, 1, 1], None)], 100, 0)["two_in_view"] is None
    assert localization.FINE >= 32
