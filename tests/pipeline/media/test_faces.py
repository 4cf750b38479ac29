"""Faces: detection, the geometry of the crop, and clips without a face."""

import pickle
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from pipeline.config import ROOT
from pipeline.errors import UserError
from pipeline.media import faces
from pipeline.media.faces import Face, FacesStep, cut_face, largest_face, load_detector
from pipeline.media.files import Media
from pipeline.sources import people

SHARED = ROOT.parent / "shared"
TALKERS = sorted((SHARED / "real_clips").glob("*.mpg"))
YUNET = SHARED / "face_models/yunet_n_320_320.onnx"
CLIP = {"clip_id": "c", "start": None, "end": None}
NAME = "1002_TIE_NEU_XX"


def settings(**changes):
    values = {"enabled": True, "model": None, "frames": "middle", "size": 64, "margin": 0.15, "align": False}
    return SimpleNamespace(**values | changes)


def run(path, frames=1, seconds=4.0, **changes):
    step = pickle.loads(pickle.dumps(FacesStep(settings(**changes), seconds, frames)))
    (outcome,) = step([CLIP], [Media(str(path), str(path))])
    return outcome


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """Return the path of a video of a talking head, and one picture of it."""
    path = tmp_path_factory.mktemp("head") / "a head.flv"
    path.write_bytes(people.render(NAME, 0))
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return path, pictures[len(pictures) // 2]


def overlap(a, b):
    """Intersection over union of two boxes (left, top, width, height)."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inside = max(w, 0) * max(h, 0)
    return inside / (a[2] * a[3] + b[2] * b[3] - inside)


# --- real people ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not TALKERS, reason="needs ../shared/real_clips")
@pytest.mark.parametrize("path", TALKERS, ids=lambda p: p.stem)
def test_every_talker_has_a_face_in_the_middle(path):
    outcome = run(path)
    assert outcome.status == "ok" and outcome.value.shape == (1, 64, 64, 3)
    assert outcome.extra["found"] == [True] and outcome.extra["angles"] == [None]
    x, y, width, height = outcome.extra["boxes"][0]
    assert 0.3 < x + width / 2 < 0.7 and 0.35 < y + height / 2 < 0.75
    if YUNET.exists():
        assert overlap(outcome.extra["boxes"][0], run(path, model=str(YUNET)).extra["boxes"][0]) > 0.4
    # In a wider crop, the face is in the middle.
    second_face = largest_face(load_detector(None)(run(path, size=240, margin=0.5).value[0]))
    assert (
        abs(second_face.box[0] + second_face.box[2] / 2 - 0.5) < 0.08
        and abs(second_face.box[1] + second_face.box[3] / 2 - 0.5) < 0.08
    )


@pytest.mark.skipif(not TALKERS, reason="needs ../shared/real_clips")
def test_every_frame_of_a_talker_has_a_face():
    outcome = run(TALKERS[0], frames=5, seconds=3.0)
    assert outcome.value.shape == (5, 64, 64, 3) and outcome.extra["found"] == [True] * 5
    assert len(outcome.extra["times"]) == 5 and outcome.extra["times"] == sorted(outcome.extra["times"])
    assert all(overlap(outcome.extra["boxes"][0], box) > 0.6 for box in outcome.extra["boxes"])


# --- synthetic people------------------------------------------------------------------------------------


def test_a_head_has_a_face_in_the_middle(head):
    outcome = run(head[0])
    assert outcome.status == "ok" and outcome.value.dtype == np.uint8
    assert faces.crop_largest_face(head[1], settings()).shape == (64, 64, 3)
    assert faces.crop_largest_face(np.full((90, 120, 3), 128, np.uint8), settings()) is None


@pytest.mark.skipif(not YUNET.exists(), reason="needs ../shared/face_models")
def test_both_detectors_agree_on_a_head(head, tmp_path):
    model = tmp_path / "a model.onnx"  # a space in the name
    model.write_bytes(YUNET.read_bytes())
    boxes = [run(head[0], model=m).extra["boxes"][0] for m in (None, str(model))]
    assert overlap(*boxes) > 0.4


def test_a_still_picture_has_a_face(head, tmp_path):
    cv2.imwrite(str(tmp_path / "face.png"), cv2.cvtColor(head[1], cv2.COLOR_RGB2BGR))
    outcome = run(tmp_path / "face.png", frames=3, seconds=2.0)
    assert outcome.status == "ok" and outcome.value.shape == (3, 64, 64, 3)
    assert (outcome.value[0] == outcome.value[2]).all() and outcome.extra["seconds"] == 2.0


@pytest.mark.parametrize("angle", [-14.0, 0.0, 11.0])
def test_the_angle_of_a_rotated_head(head, angle):
    picture = head[1]
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1.0)  # clockwise: its eyes fall
    turned = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    detector = load_detector(str(YUNET)) if YUNET.exists() else load_detector(None)
    (face, *_) = detector(turned)
    actual = face.angle if face.angle is not None else detector.eye_angle(turned, face.box)
    level = detector(picture)[0].angle if YUNET.exists() else 0.0
    assert actual - level == pytest.approx(angle, abs=5.0)


# --- geometry, by hand ----------------------------------------------------------------------------------


def test_a_square_is_cropped_with_its_margin():
    # Columns count in red, lines in green; 200 x 100. The box is 40 x 20 at (60, 30): the square around it
    # has side 40 * 1.5 = 60 and middle (80, 40), so it goes from (50, 10) to (110, 70).
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(200)[None], np.arange(100)[:, None]
    square = cut_face(picture, (0.3, 0.3, 0.2, 0.2), 60, 0.25).astype(int)
    assert np.abs(square[..., 0] - np.arange(50, 110)[None]).max() <= 1
    assert np.abs(square[..., 1] - np.arange(10, 70)[:, None]).max() <= 1
    half = cut_face(picture, (0.3, 0.3, 0.2, 0.2), 30, 0.25).astype(int)  # each pixel the mean of four
    assert np.abs(half[..., 0] - (np.arange(30) * 2 + 50.5)[None]).max() <= 1
    twice = cut_face(picture, (0.3, 0.3, 0.2, 0.2), 120, 0.25).astype(int)
    assert np.abs(twice[..., 0] - (np.arange(120) / 2 + 49.75)[None]).max() <= 1


def test_outside_the_picture_its_border_is_repeated():
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[:, 0], picture[0] = 200, 200
    square = cut_face(picture, (0.0, 0.0, 0.4, 0.4), 60, 0.25)  # from (-10, -10) to (50, 50)
    assert (square[:10] == 200).all() and (square[:, :10] == 200).all() and (square[12:, 12:] == 0).all()


def test_rotation_makes_a_falling_line_level():
    picture = np.zeros((200, 200, 3), np.uint8)
    slope = np.tan(np.radians(15))
    cv2.line(picture, (40, round(100 - 60 * slope)), (160, round(100 + 60 * slope)), (255, 255, 255), 3)
    square = cut_face(picture, (0.25, 0.25, 0.5, 0.5), 100, 0.0, 15.0)
    lit = square[..., 0] > 128
    assert np.ptp(np.flatnonzero(lit.any(1))) <= 6 and lit.any(0).all()


def test_the_larger_of_two_faces_is_used():
    small, large = Face((0.1, 0.1, 0.2, 0.2)), Face((0.5, 0.5, 0.3, 0.3))
    assert (
        largest_face([small, large]) is large
        and largest_face([large, small]) is large
        and largest_face([]) is None
    )


def test_a_frame_without_a_face_uses_the_nearest_frames_box(head, monkeypatch):
    blank, portrait = np.full_like(head[1], 90), head[1]
    pictures = [blank, portrait, blank, blank, portrait]
    monkeypatch.setattr(
        faces,
        "extract_frames",
        lambda *_: faces.Outcome(value=pictures, extra={"seconds": 1.0, "times": [0.0] * 5}),
    )
    outcome = run("x", frames=5)
    assert outcome.extra["found"] == [False, True, False, False, True]
    assert len({tuple(box) for box in outcome.extra["boxes"]}) == 1 and (outcome.value[0] == 90).all()


# --- what goes wrong ------------------------------------------------------------------------------------


def test_no_face_is_a_row_with_a_reason(tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((90, 120, 3), 128, np.uint8))
    outcome = run(tmp_path / "wall.png")
    assert outcome.status == "no_face" and outcome.detail == "no face in the middle frame (Haar cascade)"
    assert "any of 4 frames" in run(tmp_path / "wall.png", frames=4).detail


def test_a_bad_file_has_the_status_of_the_stage_frames(tmp_path):
    (tmp_path / "noise.flv").write_bytes(np.random.default_rng(0).bytes(5000))
    assert run(tmp_path / "noise.flv").status == "corrupt"
    (outcome,) = FacesStep(settings(), 4.0, 1)([CLIP], [Media(str(tmp_path / "a.wav"), None)])
    assert outcome.status == "no_video"


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_an_invalid_model_is_one_line(tmp_path, content):
    path = tmp_path / "some model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        UserError, match="faces.model: .*some model.onnx: (not a YuNet model|no such file)"
    ) as e:
        load_detector(str(path))
    assert "\n" not in str(e.value)


def test_another_networks_onnx_is_one_line(tmp_path):
    import torch

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())
    x = torch.zeros(1, 3, 64, 64)
    torch.onnx.export(net.eval(), (x,), tmp_path / "other.onnx", dynamo=True, verbose=False)
    with pytest.raises(UserError, match="not a YuNet model"):
        load_detector(str(tmp_path / "other.onnx"))
