import pickle
import subprocess
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.media import ffmpeg
from pipeline.media.decoders import pyav_frames
from pipeline.media.files import Media
from pipeline.media.frame_converter import FrameConverter
from pipeline.media.frames import FramesStep
from pipeline.sources.folder.extensions import PICTURE
from testing.recordings import REAL_CLIPS, clip_row, frame_numbers, grey_frame, record


def step(n=1, height=32, width=32, seconds=4.0, fit="crop"):
    return FramesStep(SimpleNamespace(frames=n, height=height, width=width, fit=fit), seconds)


def take(path, n=1, start=None, end=None, **more):
    (outcome,) = step(n, **more)([clip_row(start, end)], [Media(None, str(path))])
    return outcome


def centres(total, n):
    return [int(total * (i + 0.5) / n) for i in range(n)]


FINE = {"qmin": "1", "qmax": "1"}
CONTAINERS = {
    "flv": {"codec": "flv1"},
    "avi": {"codec": "mpeg4", "options": FINE},
    "mp4": {"codec": "libx264", "options": {"bf": "3", "crf": "5"}, "gop": 25},
    "mkv": {"codec": "libx264", "options": {"bf": "3", "crf": "5"}, "gop": 100},
    "mpg": {"codec": "mpeg1video", "options": FINE},
    "ts": {"codec": "libx264", "options": {"crf": "5"}},
    "webm": {"codec": "libvpx", "options": {"crf": "4", "deadline": "realtime", "cpu-used": "8"}},
}


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("n", [1, 4, 7])
def test_the_frames_that_are_shown_are_decoded(tmp_path, suffix, n):
    path = record(tmp_path / f"a.{suffix}", 70, **CONTAINERS[suffix])
    outcome = take(path, n)
    assert outcome.status == "ok", outcome.detail
    assert outcome.value.shape == (n, 32, 32, 3) and outcome.value.dtype == np.uint8
    assert frame_numbers(outcome.value) == centres(70, n)
    assert outcome.extra["times"] == pytest.approx([i / 30 for i in centres(70, n)], abs=2e-3)
    assert outcome.extra["seconds"] == pytest.approx(70 / 30, abs=2e-3)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_cut_from_the_middle(tmp_path, suffix):
    """The frames are those of a full decoding, also for files without an index (FLV, MPEG-PS)."""
    path = record(tmp_path / f"a.{suffix}", 70, **CONTAINERS[suffix])
    outcome = take(path, 3, start=1.0, end=2.0)
    assert frame_numbers(outcome.value) == [35, 45, 55]
    assert outcome.extra["times"] == pytest.approx([5 / 30, 0.5, 25 / 30], abs=2e-3)
    assert outcome.extra["seconds"] == pytest.approx(1.0)
    past = take(path, 3, start=20.0)
    assert (past.status, past.value) == ("too_short", None)


def test_no_more_than_clip_seconds(tmp_path):
    path = record(tmp_path / "a.flv", 70)
    outcome = take(path, 2, seconds=1.0)
    assert frame_numbers(outcome.value) == [7, 22] and outcome.extra["seconds"] == pytest.approx(
        1.0, abs=2e-3
    )


def test_variable_rate(tmp_path):
    """Ten frames in the first third of a second, then one each half second."""
    times = [*range(10), 10, 25, 40, 55, 70]
    path = record(tmp_path / "a.mkv", 15, codec="libx264", options={"crf": "5"}, times=times)
    outcome = take(path, 4)
    seconds = outcome.extra["seconds"]
    expected = [max(i for i, t in enumerate(times) if t / 30 <= seconds * (k + 0.5) / 4) for k in range(4)]
    assert frame_numbers(outcome.value) == expected
    assert outcome.extra["times"] == pytest.approx([times[i] / 30 for i in expected], abs=2e-3)


def test_one_frame(tmp_path):
    outcome = take(record(tmp_path / "a.mp4", 1, codec="mpeg4"), 3)
    assert frame_numbers(outcome.value) == [0, 0, 0] and outcome.extra["times"] == [0, 0, 0]


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp"])
def test_a_still_picture_is_every_frame(tmp_path, suffix):
    path = tmp_path / f"%03d.{suffix}"  # a pattern to ffmpeg's own reader of pictures
    grey_frame(20).to_image().save(path)
    outcome = take(path, 3)
    assert outcome.status == "ok", outcome.detail
    assert frame_numbers(outcome.value) == [20, 20, 20] and outcome.extra["seconds"] == 4.0


def quarters():
    """Red and green above, blue and white below: 96 x 64."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:] = (255, 0, 0), (0, 255, 0)
    picture[32:, :48], picture[32:, 48:] = (0, 0, 255), (255, 255, 255)
    return picture


def corners(picture):
    """Return the names of the colours: top left, top right, bottom left, bottom right."""
    h, w = picture.shape[0] // 8, picture.shape[1] // 8
    names = {(True, False, False): "red", (False, True, False): "green", (False, False, True): "blue"}
    points = [picture[y, x] > 128 for y in (h, -h) for x in (w, -w)]
    return [names.get(tuple(map(bool, p)), "white") for p in points]


def still(path, picture, form="yuv444p", n=5, codec="libx264", **more):
    shots = [av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=form) for _ in range(n)]
    return record(
        path, shots, codec=codec, form=form, options={"crf": "3"} if codec == "libx264" else {}, **more
    )


@pytest.mark.parametrize(
    "display, expected",
    [
        ([], ["red", "green", "blue", "white"]),
        (["-display_rotation", "90"], ["green", "white", "red", "blue"]),
        (["-display_rotation", "180"], ["white", "blue", "green", "red"]),
        (["-display_rotation", "-90"], ["blue", "red", "white", "green"]),
        (["-display_hflip"], ["green", "red", "white", "blue"]),
        (["-display_vflip"], ["blue", "white", "red", "green"]),
    ],
)
def test_a_rotated_video_is_upright(tmp_path, display, expected):
    plain, path = still(tmp_path / "plain.mp4", quarters()), tmp_path / "a.mp4"
    command = [ffmpeg.binary(), "-v", "error", *display, "-i", plain, "-c", "copy", path]
    subprocess.run(command, check=True, timeout=60)
    side = (48, 32) if "90" in str(display) else (32, 48)
    assert corners(take(path, height=side[0], width=side[1]).value[0]) == expected


@pytest.mark.parametrize("extension", sorted(PICTURE))
def test_pictures_of_every_kind_that_a_folder_may_hold(tmp_path, extension):
    image, path = Image.fromarray(quarters()), tmp_path / f"a.{extension}"
    if extension == "pgm":
        image = image.convert("L")
    image.save(path)
    outcome = take(path)
    assert outcome.status == "ok", outcome.detail
    assert outcome.value[0, 2, 2].max() > 60 and outcome.value[0, -3, -3].min() > 200


@pytest.mark.parametrize("extension", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_a_photo_with_exif_is_upright(tmp_path, extension, orientation):
    """ffmpeg converts the orientation in EXIF to a display matrix."""
    image, path = Image.fromarray(quarters()), tmp_path / f"a.{extension}"
    exif = image.getexif()
    exif[271] = "a camera"
    if orientation:
        exif[274] = orientation
    image.save(path, exif=exif, **({"quality": 95} if extension in ("jpg", "webp") else {}))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    height, width = upright.shape[:2]
    outcome = take(path, height=height, width=width)
    assert outcome.status == "ok" and corners(outcome.value[0]) == corners(upright)


def test_pixels_that_are_not_square(tmp_path):
    """96 x 64 with pixels twice as wide as high is shown as 192 x 64; its middle third fills a square."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, 32:64] = 255
    wide = take(still(tmp_path / "a.mp4", picture, aspect=Fraction(2, 1))).value[0]
    assert wide.mean() > 240
    square = take(still(tmp_path / "b.mp4", picture)).value[0]  # its middle two thirds: 16 + 32 + 16 columns
    assert 110 < square.mean() < 145


def test_the_middle_is_cropped(tmp_path):
    picture = np.full((64, 96, 3), 255, np.uint8)
    picture[:, 16:80] = 0
    assert take(still(tmp_path / "a.mp4", picture)).value.mean() < 6


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_squeezed_picture_is_whole(tmp_path, rotation):
    """A white border of 96 x 64 stays all around in 32 x 32, also if the file says that it is rotated."""
    picture = np.full((64, 96, 3), 255, np.uint8)
    picture[12:-12, 12:-12] = 0
    plain, path = still(tmp_path / "plain.mp4", picture), tmp_path / "a.mp4"
    command = [ffmpeg.binary(), "-v", "error", "-display_rotation", str(rotation), "-i", plain, "-c", "copy"]
    subprocess.run([*command, path], check=True, timeout=60)
    squeezed = take(path, fit="squeeze").value[0]
    border = np.concatenate([squeezed[:2], squeezed[-2:], squeezed[:, :2].swapaxes(0, 1)])
    assert squeezed.shape == (32, 32, 3) and border.mean() > 240 and squeezed[12:20, 12:20].mean() < 10
    cropped = take(path).value[0]  # two of its sides are cut off
    assert min(cropped[0].mean(), cropped[:, 0].mean()) < 160


@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le", "yuv444p"])
def test_depths_and_formats(tmp_path, form):
    path = record(tmp_path / "a.mkv", 20, codec="libx264", form=form, options={"crf": "3"})
    assert frame_numbers(take(path, 2).value) == [5, 15]


@pytest.mark.parametrize("colour_range, luma", [("tv", 126), ("pc", 128)])
@pytest.mark.parametrize("space", ["bt709", "smpte170m"])
def test_colours_follow_range_and_space(tmp_path, colour_range, luma, space):
    """The same orange in each encoding is decoded to that orange."""
    orange, path = np.array([220, 120, 40]), tmp_path / "a.mp4"
    picture = np.broadcast_to(orange.astype(np.uint8), (64, 96, 3)).copy()
    convert = f"scale=out_range={colour_range}:out_color_matrix={space},format=yuv444p"
    tags = ["-color_range", colour_range, "-colorspace", space]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "96x64", "-r", "25", "-i", "-"]
    command = [
        ffmpeg.binary(),
        "-v",
        "error",
        *source,
        "-vf",
        convert,
        *tags,
        "-c:v",
        "libx264",
        "-crf",
        "1",
        path,
    ]
    subprocess.run(command, input=picture.tobytes() * 3, check=True, timeout=60)
    assert np.abs(take(path).value[0].reshape(-1, 3).mean(0) - orange).max() < 3


def test_interlaced_frames_do_not_comb(tmp_path):
    """A bar has another position in each of the two fields: only one field is used."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[0::2, 32:48] = 255
    picture[1::2, 48:64] = 255
    path = still(tmp_path / "a.mpg", picture, form="yuv420p", codec="mpeg2video", n=4)
    plain = take(path, height=64, width=96).value[0]
    assert plain[::2].std(axis=0).max() < 80 < abs(plain[20:40:2, 40].mean() - plain[21:41:2, 40].mean())
    flagged = tmp_path / "b.mpg"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "96x64", "-r", "25", "-i", "-"]
    coding = ["-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme", "-vf", "setfield=tff", "-top", "1"]
    for options in (coding, coding[:-2]):
        command = [ffmpeg.binary(), "-v", "error", "-y", *source, *options, flagged]
        if (
            subprocess.run(command, input=picture.tobytes() * 4, capture_output=True, timeout=60).returncode
            == 0
        ):
            break
    picture = take(flagged, height=64, width=96).value[0].astype(int)
    assert picture[10:50, 36:44].mean() > 200 and picture[10:50, 52:60].mean() < 60


def test_a_very_long_strip(tmp_path):
    picture = np.zeros((16, 4000, 3), np.uint8)
    picture[:, 1990:2010] = 255
    outcome = take(still(tmp_path / "a.mkv", picture, form="yuv420p", n=1), height=112, width=112)
    assert outcome.value.shape == (1, 112, 112, 3) and outcome.value.mean() > 230


def test_very_large_pictures(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    command = [
        ffmpeg.binary(),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=white:s=8000x8000,format=gray",
        "-frames:v",
        "1",
    ]
    subprocess.run([*command, path], check=True, timeout=60)
    assert take(path).value.mean() > 250
    monkeypatch.setattr(pyav_frames, "MAX_PIXELS", 8000 * 8000 - 1)
    outcome = take(path)
    assert outcome.status == "refused" and "8000 x 8000" in outcome.detail


def test_times_count_from_the_container_s_start(tmp_path):
    """A stream whose clock begins at an hour; its picture half a second after its sound."""
    plain, path = record(tmp_path / "a.ts", 60, codec="libx264"), tmp_path / "b.ts"
    command = [ffmpeg.binary(), "-v", "error", "-i", plain, "-c", "copy", "-output_ts_offset", "3600", path]
    subprocess.run(command, check=True, timeout=60)
    outcome = take(path, 1, start=1.0, end=2.0)
    assert frame_numbers(outcome.value) == [45] and outcome.extra["times"] == pytest.approx([0.5], abs=2e-3)


def test_a_truncated_file_is_decoded_up_to_its_end(tmp_path):
    noisy = np.random.default_rng(0).integers(0, 255, (60, 64, 96, 3), np.uint8)
    shots = [av.VideoFrame.from_ndarray(p, format="rgb24").reformat(format="yuv420p") for p in noisy]
    whole = record(tmp_path / "a.flv", shots)
    (tmp_path / "b.flv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    outcome = take(tmp_path / "b.flv", 4)
    assert outcome.status == "ok" and 0.5 < outcome.extra["seconds"] < 1.5
    assert all(t < outcome.extra["seconds"] for t in outcome.extra["times"])
    half = tmp_path / "c.mp4"  # its index is at the end of the file, and missing
    whole = record(tmp_path / "d.mp4", 30, codec="libx264")
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert take(half).status == "corrupt"


def test_damage_in_the_middle(tmp_path):
    content = bytearray(record(tmp_path / "a.avi", 60, codec="mpeg4", options=FINE).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(np.random.default_rng(0).integers(0, 255, 300, np.uint8))
    (tmp_path / "b.avi").write_bytes(bytes(content))
    outcome = take(tmp_path / "b.avi", 8)
    assert outcome.status == "ok" and all(t < outcome.extra["seconds"] for t in outcome.extra["times"])
    assert frame_numbers(outcome.value)[:3] == [round(t * 30) for t in outcome.extra["times"][:3]]


def test_sound_and_covers_are_not_video(tmp_path):
    song = tmp_path / "a.mp3"
    cover = tmp_path / "cover.png"
    grey_frame(10).to_image().save(cover)
    tone = ["-f", "lavfi", "-i", "sine=d=2"]
    subprocess.run([ffmpeg.binary(), "-v", "error", *tone, song], check=True, timeout=60)
    assert take(song).status == "no_video"
    with_cover = tmp_path / "b.mp3"
    maps = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v", "attached_pic"]
    subprocess.run(
        [ffmpeg.binary(), "-v", "error", "-i", song, "-i", cover, *maps, with_cover], check=True, timeout=60
    )
    assert take(with_cover).status == "no_video"
    (outcome,) = step()([clip_row()], [Media(str(song), None)])
    assert outcome.status == "no_video"


def test_an_unknown_codec_is_refused(tmp_path):
    path = record(tmp_path / "a.mkv", 10, codec="libx264")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/AVC"))
    outcome = take(path)
    assert outcome.status == "refused" and outcome.detail == "a.mkv: no decoder for its picture"


def test_a_bad_file_does_not_affect_other_clips(tmp_path):
    good = record(tmp_path / "a.flv", 30)
    (tmp_path / "b.flv").write_bytes(bytes(np.random.default_rng(0).integers(0, 255, 5000, np.uint8)))
    media = [Media(None, str(p)) for p in (good, tmp_path / "b.flv", tmp_path / "gone.flv", good)]
    run = pickle.loads(pickle.dumps(step(2)))
    assert [o.status for o in run([clip_row()] * 4, media)] == ["ok", "corrupt", "unreadable", "ok"]
    assert run.shape == (2, 32, 32, 3)


@pytest.mark.skipif(not REAL_CLIPS.exists(), reason="no real clips beside the checkout")
def test_real_clips_match_a_full_decoding():
    """MPEG-PS without an index, Matroska, MP4 with B-frames: as decoded from the beginning."""
    for name, start in [
        ("bbaf2n.mpg", 1.0),
        ("av1_video.mkv", 1.0),
        ("test_video.mp4", 3.0),
        ("h265_video.mp4", 0.2),
    ]:
        outcome = take(REAL_CLIPS / name, 3, start=start, end=start + 1)
        with av.open(str(REAL_CLIPS / name)) as container:
            stream = container.streams.video[0]
            zero = (container.start_time or 0) / 1e6 + start
            converter = FrameConverter(32, 32)
            pictures = {}
            for frame in container.decode(stream):
                for i, t in enumerate(outcome.extra["times"]):
                    if abs(frame.time - zero - t) < 1e-3:
                        pictures[i] = converter(frame, stream)
                if frame.time > zero + 1.2:
                    break
        assert sorted(pictures) == [0, 1, 2], name
        np.testing.assert_array_equal(outcome.value, np.stack([pictures[i] for i in range(3)]), name)
