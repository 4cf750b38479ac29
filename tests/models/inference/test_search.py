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
from models.inference.decode import DecodedFile
from pipeline.errors import UserError
from pipeline.store.formats import read_table
from testing import toy


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    toy.train(data, out)
    return checkpoint.load(out / "out")


def library(model, data, folder, kind="flat"):
    metrics = index.write_index(model, data, kind, folder / "embeddings", folder / "index", 0)
    stored = {s: np.load(folder / f"embeddings/{s}.npy") for s in index.indexed_modalities(model)}
    searchers = {s: search.vector_index.load(folder / f"index/{s}.faiss", v) for s, v in stored.items()}
    clips = read_table(folder / "embeddings/clips.parquet").to_pylist()
    return metrics, search.Library(model, clips, searchers)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf_pq"])
def test_every_clip_is_in_the_index_and_finds_itself(model, data, tmp_path, kind):
    metrics, clips = library(model, data, tmp_path, kind)
    assert set(metrics) == {f"{a}_to_{b}" for a in ("audio", "video") for b in ("audio", "video")}
    assert all(
        m["n"] == len(data)
        and m["kind"] == search.vector_index.resolve_kind(kind, len(data))
        and m["recall_10"] > 0.9
        for m in metrics.values()
    )
    audio, video = model.embed(data, np.arange(len(data)))
    for side, every in (("audio", audio), ("video", video)):
        assert np.allclose(np.load(tmp_path / f"embeddings/{side}.npy"), every)
    hits = clips.nearest(audio[7], "audio_to_audio", 3)
    assert hits[0].clip_id == "clip007" and hits[0].score == pytest.approx(1, abs=1e-5)
    assert hits[0].labels == ["kind7"] and hits[0].split == "train" and len(hits) == 3


def test_an_index_is_never_changed_in_place(model, data, tmp_path):
    library(model, data, tmp_path)
    contents = {}
    for path in [*tmp_path.glob("*/*.npy"), *tmp_path.glob("*/*.faiss")]:
        os.link(path, tmp_path / f"cache-{path.name}")
        contents[path.name] = path.read_bytes()
    library(model, replace(data, clip_id=[f"other-{i}" for i in data.clip_id]), tmp_path)
    assert all((tmp_path / f"cache-{name}").read_bytes() == content for name, content in contents.items())


def test_a_matcher_that_is_no_distance_scores_every_clip(data, tmp_path):
    names = toy.experiment(matcher="concat", loss="bce")
    toy.train(data, tmp_path, names, epochs=1)
    model = checkpoint.load(tmp_path / "out")
    _, clips = library(model, data, tmp_path)
    audio, video = model.embed(data, np.arange(len(data)))
    for direction, logits in (
        ("audio_to_video", model.scores(audio[:1], video)[0]),
        ("video_to_audio", model.scores(audio, video[:1])[:, 0]),
    ):
        source = audio if direction.startswith("audio") else video
        hits = clips.nearest(source[0], direction, 5)
        assert [h.score for h in hits] == pytest.approx(sorted(logits, reverse=True)[:5], abs=1e-4)


def test_a_model_of_one_modality_has_one_index(data, tmp_path):
    names = toy.experiment(modality="audio", pairing="category")
    toy.train(data, tmp_path, names, epochs=1)
    metrics, clips = library(checkpoint.load(tmp_path / "out"), data, tmp_path)
    assert set(metrics) == {"audio_to_audio"} and not (tmp_path / "embeddings/video.npy").exists()
    assert clips.directions(SimpleNamespace(embeddings={"audio": 0})) == ["audio_to_audio"]


def test_a_model_that_localizes_indexes_sounds_only(data, tmp_path):
    names = toy.experiment(video_encoder="avolnet", matcher="localize", loss="bce")
    toy.train(data, tmp_path, names, epochs=1)
    metrics, _ = library(checkpoint.load(tmp_path / "out"), data, tmp_path)
    assert set(metrics) == {"audio_to_audio"} and not (tmp_path / "index/video.faiss").exists()


# --- the command --------------------------------------------------------------------------------------


def test_invalid_arguments_are_errors(capsys):
    for arguments in (
        ["a", "-k", "0"],
        ["a", "--start", "-1"],
        ["a", "--start", "nan"],
        ["a", "--by", "nose"],
        [],
    ):
        with pytest.raises(SystemExit):
            command.parse_arguments(arguments)
        assert "error:" in capsys.readouterr().err


def test_an_impossible_direction_is_an_error(model, data, tmp_path):
    _, clips = library(model, data, tmp_path)
    query = DecodedFile(
        "a.wav", data, {"video": "no picture"}, embeddings={"audio": model.embed(data, np.array([0]))[0][0]}
    )
    assert set(command.search_directions(clips, query, None, None, 2)) == {"audio_to_audio", "audio_to_video"}
    assert set(command.search_directions(clips, query, None, "video", 2)) == {"audio_to_video"}
    with pytest.raises(UserError, match=r"a.wav: cannot be searched so: it has no picture \(no picture\)"):
        command.search_directions(clips, query, "video", None, 2)


def test_no_index_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["search", "a.wav"])
    with pytest.raises(UserError, match="train a model first"):
        command.search()
    assert json.dumps(capsys.readouterr().out) == '""'
