"""Localization metrics, compared with numbers computed by hand."""

import numpy as np
import pytest

from pipeline.metrics.localization import evaluate, frame_boxes
from pipeline.metrics.localization.regions import GRID, box_mask, find_peak, mask_iou, peak_region


def map_with_peak(row, column, size=(4, 4)):
    """Return a map with one large value."""
    values = np.full(size, 0.1)
    values[row, column] = 0.9
    return values


def row(box, silent=None, second=None, aspect=1.0):
    return {"clip_id": "a", "aspect": aspect, "box": box, "silent_box": silent, "second_box": second}


def test_the_peak_is_the_centre_of_its_cell():
    assert find_peak(map_with_peak(0, 3)) == (0.875, 0.125)
    assert find_peak(map_with_peak(1, 0, (2, 5))) == (0.1, 0.75)


def test_boxes_of_a_wide_picture_in_a_square_frame():
    """Of 4 : 3, an eighth is cut off on each side: 0.5 stays, 0.125 becomes 0."""
    boxes = frame_boxes([row([0.125, 0.2, 0.5, 0.6], silent=[0.5, 0.0, 0.875, 1.0], aspect=4 / 3)], 112, 112)
    sounding, silent = boxes["a"]
    assert sounding == pytest.approx([0.0, 0.2, 0.5, 0.6]) and silent == pytest.approx([0.5, 0.0, 1.0, 1.0])


def test_boxes_of_a_high_picture_in_a_wide_frame():
    """Of 1 : 2 in a frame of 1 : 1, half of the height stays."""
    assert frame_boxes([row([0.0, 0.25, 1.0, 0.5], aspect=0.5)], 50, 50)["a"][0] == pytest.approx(
        [0.0, 0.0, 1.0, 0.5]
    )


def test_clips_without_one_sounding_box_are_left_out():
    cut_off = row([0.0, 0.1, 0.1, 0.9], aspect=4.0)
    for unusable in (row(None), row([0, 0, 1, 1], second=[0, 0, 1, 1]), cut_off, {"clip_id": "of a folder"}):
        assert frame_boxes([unusable], 112, 112) == {}


def test_iou_by_hand():
    first, second = box_mask([0, 0, 0.5, 1]), box_mask([0.25, 0, 1, 1])
    assert mask_iou(first, first) == 1 and mask_iou(first, ~first) == 0
    assert mask_iou(first, second) == pytest.approx(0.25 / 1.0)
    assert box_mask([0, 0, 0.5, 0.25]).mean() == pytest.approx(0.125)


def test_the_region_has_the_largest_values_of_the_map():
    half = np.array([[0.2, 0.8]])
    assert peak_region(half, 0.5).mean() == pytest.approx(0.5) and peak_region(half, 0.5)[:, 34:].all()
    assert not peak_region(half, 0.25)[:, :40].any() and peak_region(half, 0.25).mean() == pytest.approx(0.25)


def test_correct_maps_and_maps_of_the_silent_object():
    corners = [([0.0, 0.0, 0.25, 0.25], [0.75, 0.75, 1.0, 1.0]), ([0.75, 0.0, 1.0, 0.25], None)]
    correct_maps = np.stack([map_with_peak(0, 0), map_with_peak(0, 3)])
    metrics = evaluate(correct_maps, corners, 200, 0)
    assert (
        metrics["all"]["pointing"] == 1
        and metrics["all"]["n"] == 2
        and metrics["all"]["ci"]["pointing"] == [1, 1]
    )
    assert metrics["all"]["centre"]["pointing"] == 0 and "silent" not in metrics["all"]
    assert metrics["two_in_view"]["n"] == 1 and metrics["two_in_view"]["pointing"] == 1
    assert metrics["two_in_view"]["silent"]["pointing"] == 0 and metrics["two_in_view"]["silent"]["iou"] == 0
    assert 0 < metrics["all"]["iou"] < 1
    wrong = evaluate(np.stack([map_with_peak(3, 3), map_with_peak(3, 3)]), corners, 200, 0)
    assert wrong["all"]["pointing"] == 0
    mixed = evaluate(np.stack([map_with_peak(0, 0), map_with_peak(3, 3)]), corners, 200, 0)
    assert mixed["all"]["pointing"] == 0.5 and mixed["all"]["ci"]["pointing"] == [0, 1]


def test_no_clip_with_two_in_view():
    assert evaluate(map_with_peak(0, 0)[None], [([0, 0, 1, 1], None)], 100, 0)["two_in_view"] is None
    assert GRID >= 32
