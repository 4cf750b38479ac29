"""VGG-SS, Flickr-SoundNet and duets of MUSIC: the authors' arrays, whole pictures, blind guesses, lists."""

import json

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.metrics import protocols
from pipeline.metrics.protocols._base import Maps, Options, Subset
from pipeline.metrics.protocols._localization import place_map

VGG_SS, FLICKR, DUET = (protocols.get(name) for name in ("vgg_ss", "flickr_soundnet", "music_duet"))
OPTIONS = Options(bootstrap=50)


def test_published_code(load_reference):
    """Eight pictures: overlaps of both kinds of truth, with and without the object map."""
    arrays = load_reference("ez_vsl")
    for kind, protocol, unit in ((0, VGG_SS, 224), (1, FLICKR, 224 / 256)):
        rows = np.flatnonzero(arrays["box_kind"] == kind)
        # The arrays are in whole pixels of 224. A quarter more does not change them, and survives rounding.
        boxes = [[((b + 0.25) / unit).tolist() for b in arrays["boxes"][row] if b.min() >= 0] for row in rows]
        maps = Maps(arrays["map_av"][rows], None, arrays["map_obj"][rows])
        ids = list(map(str, rows))
        result = protocol.evaluate(maps, Subset(ids, boxes, ids), OPTIONS)
        for name, author in (("sound", "av"), ("sound_and_object", "mix_0.4"), ("object", "obj")):
            expected = arrays[f"score/{author}_ciou"][rows]
            assert result[name]["overlap"] == pytest.approx(expected.mean(), abs=2e-6)
            assert result[name]["ciou"] == pytest.approx((expected >= 0.5).mean())


def test_blind_guess_on_the_published_boxes(shared_lists):
    """A disc in the middle reaches cIoU 34.0 and AUC 37.4 on VGG-SS."""
    listing = VGG_SS.read(VGG_SS.find_list(str(shared_lists)))
    assert len(listing.truth) == 5158
    rows = list(listing.truth)[::20]
    subset = Subset(rows, [listing.truth[name] for name in rows], rows)
    centre = -np.hypot(*np.meshgrid(*[np.arange(56) - 27.5] * 2))
    result = VGG_SS.evaluate(Maps(np.repeat(centre[None], len(rows), 0)), subset, OPTIONS)["sound"]
    assert result["n"] == 258 and result["chance"]["ciou"] == pytest.approx(0.34, abs=0.06)
    assert result["chance"]["auc"] == pytest.approx(0.374, abs=0.03)
    assert result["ciou"] == pytest.approx(result["chance"]["ciou"], abs=0.02)  # the map is the blind guess


def test_duets_have_a_truth_for_each_source(shared_lists):
    listing = DUET.read(DUET.find_list(str(shared_lists)))
    assert sum(map(len, listing.truth.values())) == 1020 and len(listing.truth) == 267
    row = {"clip_id": "_-abc_7", "video_id": "-abc"}
    assert list(DUET.ids(row)) == ["-abc_007"]
    left, right = np.zeros((1, 8, 8)), [[[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 0.5, 1.0]]]
    left[:, :, :4] = 1
    result = DUET.evaluate(Maps(left), Subset(["a"], [right], ["a"]), OPTIONS)
    assert result["sound"]["overlap"] == pytest.approx(0.5, abs=0.01)  # one of the two is found
    assert result["threshold"] == 0.3 and result["sound"]["ciou"] == 1


def test_maps_of_cropped_frames_are_placed_in_the_picture():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert place_map(values, 1.0) is values
    wide = place_map(values, 0.5)  # a square frame of a picture twice as wide
    assert wide.shape == (224, 224) and (wide[:, :56] == 1).all() and (wide[:, 168:] == 1).all()
    assert (wide[:112, 112:168] == 2).all() and (wide[112:, 56:112] == 3).all()
    tall = place_map(values, 2.0)
    assert (tall[:56] == 1).all() and (tall[112:168, 112:] == 4).all()
    row = {"box": [0.0, 0.0, 0.25, 1.0], "aspect": 2.0}  # outside of the frame: it cannot be found
    maps = Maps(np.array([[[1.0, 0.0], [1.0, 0.0]]]), 1.0)
    subset = Subset(["a"], [VGG_SS.own_truth(row)], ["a"], rows=[row])
    assert VGG_SS.evaluate(maps, subset, OPTIONS)["sound"]["ciou"] == 0
    assert VGG_SS.evaluate(Maps(maps.values), subset, OPTIONS)["sound"]["overlap"] == pytest.approx(0.5)
    with pytest.raises(UserError, match="clip a: its frames are cropped.*use video.fit: squeeze"):
        VGG_SS.evaluate(maps, Subset(["a"], subset.truth, ["a"], rows=[{}]), OPTIONS)


def test_annotations_of_flickr(tmp_path):
    (tmp_path / "flickr_test.csv").write_text("12,0\n")
    with pytest.raises(UserError, match="12.xml: No such file"):
        FLICKR.read(str(tmp_path / "flickr_test.csv"))
    (tmp_path / "Annotations").mkdir()
    path = tmp_path / "Annotations/12.xml"
    box = "<bbox><who>7</who><x0>0</x0><y0>0</y0><x1>128</x1><y1>256</y1></bbox>"
    path.write_text(f"<a><o><name>x</name>{box}</o><o>{box}</o></a>")
    assert FLICKR.read(str(tmp_path / "flickr_test.csv")).truth == {"12": [[0, 0, 128, 256]] * 2}
    [[truth]] = FLICKR.draw([[0, 0, 128, 256]] * 2)
    assert truth.sum() == 112 * 224
    for text in ("<a", "<!DOCTYPE a><a/>", "<a><bbox><x>1</x></bbox></a>", "x" * (2 << 20)):
        path.write_text(text)
        with pytest.raises(UserError, match="Annotations/12.xml: "):
            FLICKR.read(str(tmp_path / "flickr_test.csv"))


@pytest.mark.parametrize("protocol", [VGG_SS, DUET], ids=["vgg_ss", "music_duet"])
@pytest.mark.parametrize("entry", [3, {}, {"file": "a"}, {"file": "a_000001", "bbox": [[1, 2]]}, {"file": 3}])
def test_other_lists_are_refused_in_one_line(protocol, entry, tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps([entry]))
    with pytest.raises(UserError) as error:
        protocol.read(str(path))
    assert "list.json" in str(error.value) and "\n" not in str(error.value)
