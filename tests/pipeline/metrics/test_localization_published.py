"""The measure of EZ-VSL: numbers by hand, and those of its authors' code where they are at hand."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.metrics.localization import overlaps, published
from pipeline.metrics.localization.published import (
    SIZE,
    corners,
    duet_overlap,
    finish_map,
    fraction_truth,
    half_region,
    normalize_map,
    overlap,
    resize_map,
    vote_truth,
)
from pipeline.metrics.localization.regions import centre_map

SHARED = Path("../shared")
REFERENCE = SHARED / "reference/ez_vsl/reference.npz"
VGGSS = SHARED / "protocols/vggss.json"


def test_truth_is_cut_to_whole_pixels():
    truth = fraction_truth([[-0.1, 0.02, 1.2, 0.999]])  # 4.48 and 223.776 pixels
    assert truth.shape == (224, 224) and truth.sum() == 224 * (223 - 4)
    assert truth[4:223].all() and not truth[:4].any() and not truth[223].any()
    assert fraction_truth([[0, 0, 0.5, 1], [0.25, 0, 0.75, 1]]).sum() == 224 * 168  # the union
    assert fraction_truth([[0.5, 0.5, 0.501, 0.9]]).sum() == 0  # no whole pixel is left


def test_two_annotators_make_a_whole_vote():
    truth = vote_truth([[0, 0, 128, 256], [64, 0, 256, 256], [64, 0, 128, 256]])
    assert np.unique(truth[:, :56]) == 0.5 and np.unique(truth[:, 56:112]) == 1
    assert np.unique(truth[:, 112:]) == 0.5
    pixels = np.argwhere(vote_truth([[10, 20, 200, 255]]))  # 8.75, 17.5, 175, 223.125
    assert pixels.min(0).tolist() == [17, 8] and pixels.max(0).tolist() == [222, 174]


def test_resized_maps_keep_their_corners():
    assert resize_map(np.array([[0.0, 1.0], [2.0, 3.0]]), 3).tolist() == [
        [0, 0.5, 1],
        [1, 1.5, 2],
        [2, 2.5, 3],
    ]
    assert (resize_map(np.full((7, 5), 0.1)) == 0.1).all()
    assert resize_map(np.array([[4.0]]), 2).tolist() == [[4, 4], [4, 4]]


def test_a_map_is_mixed_with_an_object_map():
    sound, thing = np.array([[0.0, 10.0]]), np.array([[3.0, 1.0]])
    mixed = finish_map(sound, thing)  # 0.4 * (0 to 1) + 0.6 * (1 to 0): the objects outweigh the sound
    assert mixed.shape == (SIZE, SIZE) and (mixed[:, 0] == 1).all() and (mixed[:, -1] == 0).all()
    assert (finish_map(sound, thing, 1.0)[:, -1] == 1).all()
    assert np.array_equal(finish_map(sound), finish_map(sound, np.ones((2, 2)), 1.0))
    assert (normalize_map(np.full((2, 2), 7.0)) == 7).all()


def test_half_of_every_picture_is_predicted():
    assert half_region(np.array([[1.0, 4.0], [3.0, 2.0]])).tolist() == [[False, True], [True, False]]
    assert half_region(np.array([[1.0, 1.0], [1.0, 0.0]])).sum() == 3  # equal values
    assert half_region(np.zeros((4, 4))).all()


def test_overlap_of_votes_by_hand():
    truth = np.array([[1.0, 0.5, 0.0, 0.0]])
    region = np.array([[True, True, True, False]])
    assert overlap(region, truth) == pytest.approx(1.5 / (1.5 + 1))
    assert overlap(~region, truth) == 0 and overlap(truth > 0, truth) == 1
    assert overlap(region & False, truth * 0) == 0  # both are empty


def test_measures_of_overlaps_by_hand():
    metrics = overlaps.evaluate(np.array([0.5, 0.1, 1.0]), 100, 0)
    assert metrics["ciou"] == pytest.approx(2 / 3, abs=1e-6) and metrics["n"] == 3
    # the area under a step from 1 to 0 after 0.5: ten whole steps and half of the next one
    assert metrics["auc"] == pytest.approx((0.525 + 0.125 + 1.0) / 3, abs=1e-6)
    assert metrics["overlap"] == pytest.approx(1.6 / 3, abs=1e-6)
    assert metrics["ci"]["ciou"][0] < metrics["ciou"] < metrics["ci"]["ciou"][1]
    assert overlaps.evaluate(np.array([0.3, 0.29]), 10, 0, threshold=0.3)["ciou"] == 0.5
    assert overlaps.areas_over(np.array([0.0, 1.0])).tolist() == pytest.approx([1, 0.025])


def test_frames_of_one_video_are_resampled_together():
    values = np.repeat([1.0, 0.0], 50)
    alone = overlaps.evaluate(values, 200, 0)["ci"]["ciou"]
    together = overlaps.evaluate(values, 200, 0, groups=["a"] * 50 + ["b"] * 50)["ci"]["ciou"]
    assert together == [0, 1] and 0.35 < alone[0] < alone[1] < 0.65


def test_duets_average_over_their_sources():
    left, right = [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 0.5, 1.0]  # x, y, width, height
    to_the_right = np.tile(np.arange(SIZE, dtype=float), (SIZE, 1))
    assert corners(right) == [0.5, 0, 1, 1]
    assert duet_overlap([-to_the_right, to_the_right], [left, right]) == 1
    assert duet_overlap([to_the_right, to_the_right], [left, right]) == 0.5  # cannot tell them apart


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference arrays are not here")
def test_parity_with_the_authors_code():
    reference = np.load(REFERENCE)
    pixels = [[box for box in boxes if box[0] >= 0] for boxes in reference["boxes"]]
    makers = (fraction_truth, vote_truth)
    # + 0.01: whole pixels as fractions, or in a larger picture, are cut off to the same pixels again
    scales = (1 / 224, 256 / 224)
    truth = [
        makers[kind]([(box + np.float64(0.01)) * scales[kind] for box in boxes])
        for boxes, kind in zip(pixels, reference["box_kind"], strict=True)
    ]
    assert np.array_equal(truth, reference["truth"])
    from_fractions = [fraction_truth([box]) for box in reference["boxes/fractions"]]
    from_votes = [vote_truth([box]) for box in reference["boxes/xml_pixels"]]
    for mask, box in zip(from_fractions, reference["boxes/fractions_in_224"], strict=True):
        assert np.array_equal(mask > 0, _pixel_mask(box))
    for mask, box in zip(from_votes, reference["boxes/xml_in_224"], strict=True):
        assert np.array_equal(mask > 0, _pixel_mask(box))
    sounds, objects = reference["map_av"], reference["map_obj"]
    cases = {
        "av": [finish_map(m) for m in sounds],
        "obj": [finish_map(m) for m in objects],
        "mix_0.4": [finish_map(m, thing) for m, thing in zip(sounds, objects, strict=True)],
        "mix_0.9": [finish_map(m, thing, 0.9) for m, thing in zip(sounds, objects, strict=True)],
    }
    for name, maps in cases.items():
        assert np.abs(maps[0] - reference[f"score/{name}_map_of_0"]).max() < 1e-6
        values = np.array([overlap(half_region(m), t) for m, t in zip(maps, truth, strict=True)])
        assert np.abs(values - reference[f"score/{name}_ciou"]).max() < 1e-6
        _compare(values, reference[f"score/{name}_summary"])
    _compare(reference["score/edge_ciou"], reference["score/edge_summary"])


def _pixel_mask(box):
    mask = np.zeros((SIZE, SIZE), bool)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = True
    return mask


def _compare(values, summary):
    """summary: share of at least 0.5, mean, area."""
    metrics = overlaps.evaluate(values, 1, 0)
    ours = [metrics[name] for name in ("ciou", "overlap", "auc")]
    assert np.abs(np.array(ours) - summary).max() < 1e-6


@pytest.mark.skipif(not VGGSS.exists(), reason="the lists of VGG-SS are not here")
def test_a_blind_disc_on_vgg_ss():
    """It covers half of the picture, and comes near to published models: 38.9 and 39.5."""
    disc = half_region(centre_map(SIZE))
    assert disc.mean() == pytest.approx(0.5, abs=0.01)
    rows = json.loads(VGGSS.read_text())
    values = {row["file"]: overlap(disc, fraction_truth(row["bbox"])) for row in rows}
    subsets = {
        "vggss": (5158, 34.0, 37.4),
        "vggss_heard": (2564, 32.1, 36.5),
        "vggss_unheard": (2575, 35.7, 38.2),
    }
    for subset, expected in subsets.items():
        ids = (SHARED / f"protocols/{subset}_test.csv").read_text().split()
        metrics = overlaps.evaluate(np.array([values[clip_id] for clip_id in ids]), 1, 0)
        assert (metrics["n"], round(100 * metrics["ciou"], 1), round(100 * metrics["auc"], 1)) == expected


@pytest.mark.skipif(not VGGSS.exists(), reason="the lists of MUSIC are not here")
def test_a_blind_disc_on_duets():
    rows = json.loads(gzip.decompress((SHARED / "protocols/music_duet.json.gz").read_bytes()))
    boxes = [[row["bbox_src1"], row["bbox_src2"]] for row in rows[::20]]
    disc = centre_map(SIZE)
    values = np.array([duet_overlap([disc, disc], pair) for pair in boxes])
    metrics = overlaps.evaluate(values, 10, 0, threshold=published.DUET_THRESHOLD)
    assert metrics["n"] == 51 and 0 <= metrics["ciou"] <= 1 and metrics["overlap"] > 0
