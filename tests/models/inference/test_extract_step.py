"""Embedding extraction gives a file the vectors of the model, whatever else is in its batch."""

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from models import checkpoint
from models.inference import extract_step
from models.inference.extract import to_step_input
from models.inference.file_model import FileModel
from models.inference.vectors import COLUMN_SIDES, Vectors
from models.training.experiment import select_input_params
from models.weights import weights_digest
from pipeline.errors import UserError
from pipeline.sources import people
from pipeline.store.status import Outcome
from testing import toy
from testing.recordings import grey_frame, record, sine

AUDIO = {"sample_rate": 8000, "n_fft": 256, "win_length": 200, "hop_length": 80, "n_mels": 16}
AUDIO |= {"window_seconds": 0.5, "fmax": None}
VIDEO = {"frames": 4, "height": 32, "width": 32}
CAV = {"patch": 8, "width": 32, "heads": 2, "layers": 1, "decoder_width": 16, "decoder_heads": 2}
STACK = toy.PARAMS.classification.model_dump() | {"fusion": "stack"}
CLASSES = {"classes": ["a", "b"], "weights": None}
# For each kind of model: parameters, entries of its config, column -> dimension of the vectors.
KINDS = {
    "matching": ({}, {}, {"audio": 8, "video": 8}),
    "siamese": ({"modality": "audio", "pairing": "category"}, {}, {"audio": 8}),
    "classes": ({"task": "classification"}, CLASSES, {"audio": 8, "video": 8}),
    "stack": ({"task": "classification", "classification": STACK}, CLASSES, {"both": 8}),
    "stacked sounds": (
        {"task": "classification", "classification": STACK, "modality": "audio"},
        CLASSES,
        {"audio": 8},
    ),
    "places": (
        {"video_encoder": "avolnet", "matcher": "localize", "loss": "bce"},
        {"encoders": {"audio": {}, "video": {"width": 8}, "joint": {}}},
        {"audio": 8, "video": None},
    ),
    "masked": (
        {"task": "pretraining", "encoder": "cav_mae"},
        {
            "encoders": {"audio": {}, "video": {}, "joint": CAV},
            "pretraining": toy.PARAMS.pretraining.model_dump(exclude={"train", "augment"}),
            "statistics": {"mean": -40.0, "std": 12.0},
        },
        {"audio": 32, "video": 32},
    ),
}


def new_model(folder: Path, kind: str = "matching", **more) -> Path:
    """Save a model of this kind with random weights."""
    changes, entries, _ = KINDS[kind]
    sections = {"audio": AUDIO, "video": VIDEO, "faces": {"size": 32}}
    values = {name: getattr(toy.PARAMS, name).model_copy(update=new) for name, new in sections.items()}
    values["data"] = toy.PARAMS.data.model_copy(update={"clip_seconds": 1.5})
    section = select_input_params(toy.PARAMS.model_copy(update=values))
    config = asdict(toy.experiment(**changes)) | {"train": toy.settings(embedding_dim=8).model_dump()}
    config |= {"inputs": section, "audio_shape": [1, 16, 50], "video_shape": [1, 32, 32, 3]} | entries | more
    torch.manual_seed(0)
    checkpoint.save(folder, checkpoint.build(config), config)
    return folder


def frames(count: int) -> list:
    return [grey_frame(i % 70) for i in range(count)]


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    """Write a folder with one file of each kind."""
    folder = tmp_path_factory.mktemp("media")
    codecs = {"codec": "mpeg4", "sound_codec": "pcm_s16le"}
    record(folder / "film.mkv", frames(150), sound=sine(5.0), **codecs)
    record(folder / "long_sound.mkv", frames(45), sound=sine(5.0, 700), **codecs)
    record(folder / "long_picture.mkv", frames(150), sound=sine(1.5, 900), **codecs)
    record(folder / "mute.mkv", frames(50), **codecs)
    record(folder / "brief.mkv", frames(6), **codecs)
    record(folder / "sound.wav", 0, sound=sine(2.0, 300), sound_codec="pcm_s16le")
    cv2.imwrite(str(folder / "still.png"), np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    (folder / "broken.mp4").write_bytes(b"as good as any")
    return folder


def step(
    model: Path, media: Path, side: str = "both", every: float | None = None
) -> extract_step.FeaturesStep:
    return extract_step.FeaturesStep(str(media), str(model), weights_digest(model), side, every)


def run_step(step: extract_step.FeaturesStep, *names: str, start=None, end=None) -> list[Outcome]:
    files = [Path(step.root, name) for name in names]
    clips = [
        {"clip_id": f.stem, "path": f.name, "start": start, "end": end}
        | {"audio": f.name if f.suffix != ".png" else None, "video": f.name if f.suffix != ".wav" else None}
        for f in files
    ]
    return list(step(clips, [None] * len(clips)))


def vectors(outcome: Outcome) -> dict[str, np.ndarray]:
    return {name: value for name, value in outcome.value.items() if name in COLUMN_SIDES}


def test_a_pair_of_files_has_the_vectors_of_each(tmp_path, media):
    """The rows of a clips.csv with a sound and a picture, each at its own time."""
    (tmp_path / "media").symlink_to(media)
    times = {"audio_start": 1.0, "audio_end": None, "video_start": 2.0, "video_end": None}
    clip = {"clip_id": "pair", "start": None, "end": None, **times}
    root = str(tmp_path / "media")
    row = to_step_input(clip | {"audio": f"{root}/sound.wav", "video": f"{root}/film.mkv"}, root)
    assert row["path"] == "sound.wav + film.mkv"
    model = new_model(tmp_path / "model")
    [pair] = step(model, media)([row], [None])
    [sound] = run_step(step(model, media), "sound.wav", start=1.0)
    [film] = run_step(step(model, media), "film.mkv", start=2.0)
    assert np.array_equal(vectors(pair)["audio"], vectors(sound)["audio"])
    assert pair.value["start"] == sound.value["start"] > 1.0
    assert vectors(pair)["video"].shape == vectors(film)["video"].shape == (1, 8)
    still = row | {"video": "still.png", "video_start": None}
    [with_still] = step(model, media)([still], [None])
    [alone] = run_step(step(model, media), "still.png")
    assert np.array_equal(vectors(with_still)["video"], vectors(alone)["video"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_gives_the_vectors_of_file_model(tmp_path, media, kind):
    folder = new_model(tmp_path / "model", kind)
    files, dims = FileModel(checkpoint.load(folder)), KINDS[kind][2]
    names = ("film.mkv", "long_sound.mkv", "sound.wav", "still.png", "mute.mkv", "broken.mp4")
    for name, outcome in zip(names, run_step(step(folder, media), *names), strict=True):
        try:
            expected = files.embed(media / name)
        except UserError:
            assert outcome.status != "ok" and outcome.detail, name
            continue
        assert outcome.status == "ok" and outcome.extra == {"windows": 1}
        columns = vectors(outcome)
        assert columns.keys() == dims.keys() and outcome.value["path"] == name
        for column, dim in dims.items():
            assert columns[column].shape[0] == 1 and dim in (None, columns[column].shape[1])
            assert column in expected or np.isnan(columns[column]).all() and outcome.detail
            if column in expected:
                assert np.allclose(columns[column][0], expected[column], atol=1e-6)
    if kind == "places":
        assert columns["video"].shape[1] % 8 == 0 and columns["video"].shape[1] > 8


@pytest.mark.parametrize("kind", ["matching", "stack"])
def test_windows_along_time_equal_those_of_file_model(tmp_path, media, kind):
    folder = new_model(tmp_path / "model", kind)
    files = FileModel(checkpoint.load(folder))
    [film, sound] = run_step(step(folder, media, every=0.2), "film.mkv", "sound.wav")
    times, expected = files.embed_along(media / "film.mkv", 0.2)
    assert np.allclose(film.value["start"], times) and len(times) == 23
    for column, embeddings in vectors(film).items():
        assert np.allclose(embeddings, expected[column], atol=1e-6)
    assert sound.status == ("ok" if kind == "matching" else "no_video")


def test_each_side_has_windows_up_to_its_end(tmp_path, media):
    along = step(new_model(tmp_path / "model"), media, every=0.5)
    expected = {  # windows of 0.5 s, one each 0.5 s
        "film.mkv": [10, 10],  # 5 s
        "long_sound.mkv": [10, 3],
        "long_picture.mkv": [3, 10],
        "mute.mkv": [0, 3],
        "brief.mkv": [0, 1],
        "still.png": [0, 1],
    }
    for (name, counts), outcome in zip(expected.items(), run_step(along, *expected), strict=True):
        present = [int((~np.isnan(x[:, 0])).sum()) for x in vectors(outcome).values()]
        assert present == counts, name
        assert np.allclose(outcome.value["start"], np.arange(max(present)) * 0.5)


def test_only_the_cut_is_embedded(tmp_path, media):
    folder = new_model(tmp_path / "model")
    [whole] = run_step(step(folder, media, every=0.5), "film.mkv")
    [cut] = run_step(step(folder, media, every=0.5), "film.mkv", start=1.5, end=3.5)
    assert cut.value["start"].tolist() == [1.5, 2.0, 2.5, 3.0]
    # The first frame of a spectrogram is padded with silence, as in training: so the sound is not compared.
    assert cut.value["video"].shape == (4, 8) and np.isfinite(cut.value["audio"]).all()
    assert np.allclose(cut.value["video"][0], whole.value["video"][3], atol=1e-6)
    [middle] = run_step(step(folder, media), "film.mkv", start=1.5, end=2.0)
    assert middle.value["start"] == pytest.approx(
        [1.5], abs=0.011
    )  # the clip has one column more than a window


def test_a_vector_does_not_depend_on_the_batch(tmp_path, media):
    folder = new_model(tmp_path / "model")
    for every in (None, 0.1):
        names = ("film.mkv", "long_sound.mkv", "mute.mkv")
        together = run_step(step(folder, media, every=every), *names)
        for name, outcome in zip(names, together, strict=True):
            [alone] = run_step(step(folder, media, every=every), name)
            for column, embeddings in vectors(outcome).items():
                assert np.array_equal(embeddings, alone.value[column], equal_nan=True)


def test_batches_are_halved_until_they_fit(tmp_path, media, monkeypatch, capsys):
    folder = new_model(tmp_path / "model")
    [expected] = run_step(step(folder, media, every=0.1), "film.mkv")
    tools = extract_step.load_tools(str(folder), weights_digest(folder), "both", None)
    for batch in tools.batches.values():
        monkeypatch.setattr(batch, "embed", _fail_if_large(batch.embed, 5))
    [outcome] = run_step(step(folder, media, every=0.1), "film.mkv")
    for column, embeddings in vectors(outcome).items():
        assert np.allclose(embeddings, expected.value[column], atol=1e-6, equal_nan=True)
    assert capsys.readouterr().out == "GPU: too little memory for 16 windows at a time: continues with 4\n"


def _fail_if_large(embed, limit: int):
    def embed_small_batch(*inputs):
        if len(inputs[0]) > limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return embed(*inputs)

    return embed_small_batch


def test_only_the_side_is_decoded(tmp_path, media, monkeypatch):
    folder = new_model(tmp_path / "model")
    tools = extract_step.load_tools(str(folder), weights_digest(folder), "audio")
    monkeypatch.setattr(type(tools.steps.frames), "__call__", lambda _, clips, media: [_no_picture(media)])
    [outcome, still] = run_step(step(folder, media, side="audio"), "film.mkv", "still.png")
    assert vectors(outcome).keys() == {"audio"} and not outcome.detail
    assert still.status == "no_audio" and still.detail == "no sound: the clip has no sound"


def _no_picture(media) -> Outcome:
    assert media[0].video is None
    return Outcome("no_video")


def test_a_model_of_faces_gets_faces(tmp_path, media):
    folder = new_model(tmp_path / "model", input="face")
    (tmp_path / "media").mkdir()
    (tmp_path / "media/face.flv").write_bytes(people.render("1001_IEO_HAP_HI", 0))
    expected = FileModel(checkpoint.load(folder)).embed(tmp_path / "media/face.flv")
    [outcome] = run_step(step(folder, tmp_path / "media"), "face.flv")
    assert all(np.allclose(outcome.value[side][0], expected[side], atol=1e-6) for side in ("audio", "video"))
    [outcome] = run_step(step(folder, media), "film.mkv")
    assert outcome.status == "ok" and outcome.detail.startswith("no picture: no face in the middle frame")


@pytest.mark.parametrize(
    ("kind", "side", "message"),
    [
        ("siamese", "video", "--side video: the model in .* does not read pictures: use --side audio"),
        ("stack", "audio", "--side audio: .* embeds sound and picture as one: use --side both"),
    ],
)
def test_a_side_that_the_model_does_not_read_is_one_line(tmp_path, media, kind, side, message):
    with pytest.raises(UserError, match=message):
        run_step(step(new_model(tmp_path / "model", kind), media, side), "film.mkv")


def test_a_replaced_model_is_an_error(tmp_path, media):
    features = step(new_model(tmp_path / "model"), media)
    config = json.loads((tmp_path / "model/config.json").read_text())
    torch.manual_seed(1)
    checkpoint.save(tmp_path / "model", checkpoint.build(config), config)
    with pytest.raises(UserError, match="was replaced during the run: run again"):
        run_step(features, "film.mkv")


def test_shards_round_trip(tmp_path):
    rng, store = np.random.default_rng(0), Vectors()
    audio = rng.normal(size=(5, 3)).astype(np.float32)
    values = [
        {
            "path": "a.mp4",
            "start": np.array([0.0, 0.5]),
            "audio": audio[:2],
            "video": np.full((2, 4), np.nan),
        },
        {
            "path": "b ü.mp4",
            "start": np.array([1.0]),
            "audio": np.full((1, 3), np.nan),
            "video": np.ones((1, 4)),
        },
        {"path": "c.mp4", "start": np.array([0.0, 1.0]), "audio": audio[3:], "video": np.zeros((2, 4))},
    ]
    for value in values:
        value |= {side: value[side].astype(np.float32) for side in ("audio", "video")}
    store.write(tmp_path / "a.parquet", ["a", "b", "c"], values)
    stored = store.read(tmp_path / "a.parquet")
    for value, same in zip(values, stored, strict=True):
        assert value["path"] == same["path"] and value["start"].tolist() == same["start"].tolist()
        assert np.array_equal(value["audio"], same["audio"], equal_nan=True)
        assert np.array_equal(value["video"], same["video"], equal_nan=True)
        assert store.digest(value) == store.digest(same)
    store.write(tmp_path / "b.parquet", ["a", "b", "c"], stored)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    table = pq.read_table(tmp_path / "a.parquet")
    assert (
        str(table.schema.field("audio").type).startswith("fixed_size_list") and table["audio"].null_count == 1
    )
    store.write(tmp_path / "none.parquet", [], [])
    assert store.read(tmp_path / "none.parquet") == []
