"""Serving equals training: a file is decoded, cut and embedded as the pipeline does with its clip."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models import checkpoint
from models.inference import decode
from models.inference.decode import SIDE_NAMES as SIDES
from models.inference.file_model import FileModel
from pipeline.dataset import dataset
from pipeline.dataset.dataset import Dataset
from pipeline.media.files import Media
from pipeline.media.frames import FramesStep
from pipeline.media.spectrogram import SpectrogramStep
from pipeline.media.wav import WavStep
from pipeline.store.formats import Layout
from pipeline.store.shards import Shards
from pipeline.store.status import Outcome
from testing.recordings import grey_frame, record, sine
from tests.models.inference.test_extract_step import new_model, run_step, step, vectors

# Clips are 1.5 s, windows 0.5 s. name -> (sound, picture): files of `media`.
CLIPS = {
    "whole": ("whole.mkv", "whole.mkv"),
    "long": ("long.mkv", "long.mkv"),
    "short": ("short.mkv", "short.mkv"),  # longer than a window, shorter than a clip
    "shorter than a window": ("brief.mkv", "brief.mkv"),
    "short sound": ("short_sound.mkv", "short_sound.mkv"),
    "short picture": ("short_picture.mkv", "short_picture.mkv"),
    "picture shorter than a window": ("brief_picture.mkv", "brief_picture.mkv"),
    "late sound": ("late_sound.mkv", "late_sound.mkv"),
    "late picture": ("late_picture.mkv", "late_picture.mkv"),
    "odd rates": ("odd.mkv", "odd.mkv"),
    "uneven frames": ("uneven.mkv", "uneven.mkv"),
    "two files": ("voice.wav", "mute.mkv"),
    "two files, a long sound": ("long_voice.wav", "mute_short.mkv"),
    "two files, a still": ("voice.wav", "face.png"),
    "two videos": ("whole.mkv", "odd.mkv"),
}


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    """Write files whose frames and sounds differ at each moment."""
    folder = tmp_path_factory.mktemp("media")
    codecs = {"codec": "mpeg4", "sound_codec": "pcm_s16le"}

    def film(name: str, frames: int, seconds: float, **more) -> None:
        sweep = sine(seconds) * np.linspace(0.1, 1.0, round(seconds * 44100), dtype=np.float32)
        record(folder / name, [grey_frame(i % 70) for i in range(frames)], sound=sweep, **codecs | more)

    film("whole.mkv", 45, 1.5)
    film("long.mkv", 120, 4.0)
    film("short.mkv", 24, 0.8)
    film("brief.mkv", 9, 0.3)
    film("short_sound.mkv", 45, 0.7)
    film("short_picture.mkv", 21, 1.5)
    film("brief_picture.mkv", 6, 1.5)
    film("late_sound.mkv", 45, 1.0, sound_at=0.4)
    film("late_picture.mkv", 30, 1.5, times=range(15, 45))
    film("odd.mkv", 40, 1.37, rate=25)
    film("uneven.mkv", 20, 1.5, times=[2 * i + i % 2 for i in range(20)])
    record(folder / "mute.mkv", [grey_frame(i) for i in range(45)], **codecs)
    record(folder / "mute_short.mkv", [grey_frame(i) for i in range(27)], **codecs)
    for name, seconds in (("voice.wav", 1.2), ("long_voice.wav", 1.5)):
        record(folder / name, 0, sound=sine(seconds, 300), sound_codec="pcm_s16le")
    cv2.imwrite(str(folder / "face.png"), np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return new_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def trained(media, model, tmp_path_factory) -> Dataset:
    """The clips as training reads them: through the steps of the stages and their shards on disk."""
    inputs = checkpoint.load(model).config["inputs"]
    audio, video = (SimpleNamespace(**inputs[side]) for side in ("audio", "video"))
    seconds, data = inputs["clip_seconds"], tmp_path_factory.mktemp("data")
    rows = [{"clip_id": name, "start": None, "end": None} for name in CLIPS]
    files = [Media(str(media / sound), str(media / picture)) for sound, picture in CLIPS.values()]
    wavs = list(WavStep(audio, seconds)(rows, files))
    hear, see = SpectrogramStep(audio, seconds), FramesStep(video, seconds)
    features = list(hear(rows, [wav.value for wav in wavs]))
    frames = list(see(rows, files))
    store(data, hear.layout, rows, features)
    store(data, see.layout, rows, frames)
    ids = list(CLIPS)
    splits = {"clip_id": ids, "split": ["test"] * len(ids), "group": ids, "recording": ids}
    pq.write_table(pa.table(splits), data / "splits.parquet")
    columns = {"clip_id": ids, "labels": [["a"]] * len(ids), "subject": pa.nulls(len(ids), pa.string())}
    pq.write_table(pa.table(columns), data / "clips.parquet")
    return dataset.load(data, audio, video)


def store(data: Path, layout: Layout, rows: list[dict], outcomes: list[Outcome]) -> None:
    """Write shards of four clips, as the engine does."""
    shards = Shards.from_layout(replace(layout, folder=data / layout.folder.name))
    shards.folder.mkdir()
    for shard, first in enumerate(range(0, len(rows), 4)):
        part = slice(first, first + 4)
        index = shards.write_values(shard, rows[part], ["key"] * len(rows[part]), outcomes[part])
        shards.write_shard_index(shard, index)
    shards.merge_indexes(shard + 1)


@pytest.mark.parametrize("name", CLIPS)
def test_a_file_is_read_cut_and_embedded_as_its_clip(media, model, trained, name):
    files = FileModel(checkpoint.load(model))
    clip = np.array([trained.clip_id.index(name)])
    sound, picture = CLIPS[name]
    file = media / sound if sound == picture else Media(str(media / sound), str(media / picture))
    served = decode.decode_file(files.config, file)
    assert not served.missing
    assert served.seconds == trained.seconds[clip[0]]
    for position in (0.0, 0.3, 0.5, 1.0):
        windows = zip(served.data.read(np.array([0]), position), trained.read(clip, position), strict=True)
        assert all(np.array_equal(one, other) for one, other in windows)
    expected = dict(zip(SIDES, files.model.embed(trained, clip), strict=True))
    embeddings = files.read_and_embed(served).embeddings
    assert embeddings.keys() == expected.keys()
    assert all(np.allclose(embeddings[side], expected[side][0], atol=1e-6) for side in SIDES)
    if sound == picture:
        [extracted] = run_step(step(model, media), sound)
        assert all(np.allclose(vectors(extracted)[side], expected[side], atol=1e-6) for side in SIDES)
        assert extracted.value["start"].tolist() == [served.middle_start]


def test_the_clips_differ_in_what_is_usable(trained):
    """Or the test above would say little."""
    seconds = dict(zip(trained.clip_id, trained.seconds.round(2).tolist(), strict=True))
    assert seconds["whole"] == seconds["long"] == seconds["picture shorter than a window"] == 1.5
    assert seconds["short"] == 0.8 and seconds["shorter than a window"] == 0.3
    assert seconds["short sound"] == seconds["short picture"] == 0.7
    assert seconds["late sound"] == 1.4 and seconds["late picture"] == 1.5
    assert seconds["odd rates"] == 1.37 and seconds["two videos"] == 1.5
    assert seconds["two files"] == seconds["two files, a still"] == 1.2
    assert seconds["two files, a long sound"] == 0.9


@pytest.mark.parametrize("name", ["mute.mkv", "mute_short.mkv", "brief_mute.mkv", "voice.wav"])
def test_a_side_alone_decides_what_is_usable(media, model, monkeypatch, name):
    """A picture alone that is shorter than a window has one window, and none beyond its end."""
    if name == "brief_mute.mkv":
        record(media / name, [grey_frame(i) for i in range(6)], codec="mpeg4")
    files = FileModel(checkpoint.load(model))
    missing_side = "video" if name == "voice.wav" else "audio"
    monkeypatch.setattr(files.model.module, f"embed_{missing_side}", None)  # that network is not run
    [whole] = run_step(step(model, media), name)
    [along] = run_step(step(model, media, every=0.1), name)
    times, vectors_along = files.embed_along(media / name, 0.1)
    for side, embedding in files.embed(media / name).items():
        assert np.allclose(vectors(whole)[side][0], embedding, atol=1e-6)
        assert np.allclose(times, along.value["start"])
        assert np.allclose(vectors_along[side], vectors(along)[side], atol=1e-6)
    windows = {"mute.mkv": 11, "mute_short.mkv": 5, "brief_mute.mkv": 1, "voice.wav": 8}
    assert len(times) == windows[name]
