"""Search: a file is embedded as the pipeline embeds it, and finds itself."""

import json
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from app import search as command
from models import checkpoint
from models.inference import index, search
from models.training.loop import train
from pipeline.errors import UserError
from pipeline.store.formats import read_table
from testing import toy


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    train(toy.experiment(), toy.settings(), toy.NO_AUGMENT, toy.INPUTS, data, out / "o", out / "l", "x")
    return checkpoint.load(out / "o")


def library(model, data, folder, kind="flat"):
    found = index.write(model, data, kind, folder / "embeddings", folder / "index", 0)
    stored = {s: np.load(folder / f"embeddings/{s}.npy") for s in index.indexed(model)}
    searchers = {s: search.vector_index.load(folder / f"index/{s}.faiss", v) for s, v in stored.items()}
    clips = read_table(folder / "embeddings/clips.parquet").to_pylist()
    return found, search.Library(model, clips, searchers)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf_pq"])
def test_every_clip_is_in_the_index_and_finds_itself(model, data, tmp_path, kind):
    found, asked = library(model, data, tmp_path, kind)
    assert set(found) == {f"{a}_to_{b}" for a in ("audio", "video") for b in ("audio", "video")}
    assert all(
        m["n"] == len(data)
        and m["kind"] == search.vector_index.chosen(kind, len(data))
        and m["recall_10"] > 0.9
        for m in found.values()
    )
    audio, video = model.embed(data, np.arange(len(data)))
    for side, every in (("audio", audio), ("video", video)):
        assert np.allclose(np.load(tmp_path / f"embeddings/{side}.npy"), every)
    hits = asked.nearest(audio[7], "audio_to_audio", 3)
    assert hits[0].clip_id == "clip007" and hits[0].score == pytest.approx(1, abs=1e-5)
    assert hits[0].labels == ["kind7"] and hits[0].split == "train" and len(hits) == 3


def test_an_index_is_never_changed_in_place(model, data, tmp_path):
    library(model, data, tmp_path)
    kept = {}
    for path in [*tmp_path.glob("*/*.npy"), *tmp_path.glob("*/*.faiss")]:
        os.link(path, tmp_path / f"cache-{path.name}")
        kept[path.name] = path.read_bytes()
    library(model, replace(data, clip_id=[f"other-{i}" for i in data.clip_id]), tmp_path)
    assert all((tmp_path / f"cache-{name}").read_bytes() == content for name, content in kept.items())


def test_a_matcher_that_is_no_distance_is_asked_itself(data, tmp_path):
    names = toy.experiment(matcher="concat", loss="bce")
    settings = toy.settings(epochs=1)
    train(names, settings, toy.NO_AUGMENT, toy.INPUTS, data, tmp_path / "o", tmp_path / "l", "x")
    model = checkpoint.load(tmp_path / "o")
    _, asked = library(model, data, tmp_path)
    audio, video = model.embed(data, np.arange(len(data)))
    for direction, logits in (
        ("audio_to_video", model.scores(audio[:1], video)[0]),
        ("video_to_audio", model.scores(audio, video[:1])[:, 0]),
    ):
        source = audio if direction.startswith("audio") else video
        hits = asked.nearest(source[0], direction, 5)
        assert [h.score for h in hits] == pytest.approx(sorted(logits, reverse=True)[:5], abs=1e-4)


def test_one_modality_is_all_that_is_indexed(data, tmp_path):
    names = toy.experiment(modality="audio", pairing="category")
    settings = toy.settings(epochs=1)
    train(names, settings, toy.NO_AUGMENT, toy.INPUTS, data, tmp_path / "o", tmp_path / "l", "x")
    found, asked = library(checkpoint.load(tmp_path / "o"), data, tmp_path)
    assert set(found) == {"audio_to_audio"} and not (tmp_path / "embeddings/video.npy").exists()
    assert asked.directions(SimpleNamespace(embeddings={"audio": 0})) == ["audio_to_audio"]


def test_a_model_with_a_vector_for_each_place_indexes_sounds(data, tmp_path):
    names = toy.experiment(video_encoder="avolnet", matcher="localize", loss="bce")
    settings = toy.settings(epochs=1)
    train(names, settings, toy.NO_AUGMENT, toy.INPUTS, data, tmp_path / "o", tmp_path / "l", "x")
    found, _ = library(checkpoint.load(tmp_path / "o"), data, tmp_path)
    assert set(found) == {"audio_to_audio"} and not (tmp_path / "index/video.faiss").exists()


# --- the command --------------------------------------------------------------------------------------


def test_arguments_that_make_no_sense_are_told(capsys):
    for given in (
        ["a", "-k", "0"],
        ["a", "--start", "-1"],
        ["a", "--start", "nan"],
        ["a", "--by", "nose"],
        [],
    ):
        with pytest.raises(SystemExit):
            command.arguments(given)
        assert "error:" in capsys.readouterr().err


def test_what_cannot_be_asked_is_told(model, data, tmp_path):
    _, asked = library(model, data, tmp_path)
    query = search.Query(
        "a.wav", data, {"video": "no picture"}, embeddings={"audio": model.embed(data, np.array([0]))[0][0]}
    )
    assert set(command.answers(asked, query, None, None, 2)) == {"audio_to_audio", "audio_to_video"}
    assert set(command.answers(asked, query, None, "video", 2)) == {"audio_to_video"}
    with pytest.raises(UserError, match=r"a.wav: cannot be asked so: it has no picture \(no picture\)"):
        command.answers(asked, query, "video", None, 2)


def test_no_index_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["search", "a.wav"])
    with pytest.raises(UserError, match="train a model first"):
        command.search()
    assert json.dumps(capsys.readouterr().out) == '""'
