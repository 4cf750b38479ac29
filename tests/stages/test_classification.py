"""A classifier of synthetic people, from the first stage to the report; and its errors."""

import json
import shutil

import cv2
import numpy as np
import pytest

from models import checkpoint
from models.inference.search import Library
from pipeline.dataset.split import split_of
from pipeline.errors import UserError
from pipeline.sources import people
from testing.project import STAGES


def test_every_clip_has_a_face_or_a_reason(people_project):
    rows = people_project.rows("faces/index.parquet")
    assert len(rows) == 48 == len(people_project.rows("clips.parquet"))
    good = [r for r in rows if r["status"] == "ok"]
    assert len(good) >= 45 and {r["status"] for r in rows} <= {"ok", "no_face"}
    assert all(len(r["boxes"]) == len(r["times"]) == len(r["found"]) == 1 for r in good)
    stored = np.load(people_project / "data/faces/00000.npy")
    assert stored.shape[1:] == (1, 32, 32, 3) and stored.dtype == np.uint8
    reasons = {r["clip_id"]: r["status"] for r in people_project.rows("splits.parquet")}
    assert all(reasons[r["clip_id"]] == "no_face" for r in rows if r["status"] != "ok")


def test_sounds_are_bytes(people_project):
    assert np.load(people_project / "data/spectrogram/00000.npy").dtype == np.uint8


def test_metrics_and_tables_agree(people_project):
    metrics = json.loads((people_project / "metrics/evaluate.json").read_text())
    assert metrics.keys() == {"classification", "without"} and metrics["without"].keys() == {"audio", "video"}
    classification = metrics["classification"]
    assert {"accuracy", "top_5", "f1_macro", "map", "ece"} == classification["ci"].keys()
    lines = (people_project / "metrics/confusion.csv").read_text().splitlines()[1:]
    is_right = [line.split(",")[1] == line.split(",")[2] for line in lines]
    assert len(lines) == classification["n"] and np.mean(is_right) == pytest.approx(
        classification["accuracy"], abs=1e-6
    )
    assert len((people_project / "metrics/per_class.csv").read_text().splitlines()) == 7
    page = (people_project / "report/index.html").read_text()
    assert "What do they feel?" in page and "<h2>Classes</h2>" in page and "Sound to picture" not in page


def test_the_model_records_its_classes_and_input(people_project):
    model = checkpoint.load(people_project / "checkpoints")
    assert model.config["classes"] == ["anger", "disgust", "fear", "happy", "neutral", "sad"]
    assert model.config["input"] == "face" and model.config["label"] == "emotion"
    assert {p.name for p in (people_project / "data/index").iterdir()} == {"audio.faiss", "video.faiss"}
    metrics = json.loads((people_project / "metrics/index.json").read_text())
    assert metrics.keys() == {
        "audio_to_audio",
        "video_to_video",
    }  # classification does not align voices with faces


@pytest.fixture
def copy(people_project, tmp_path):
    project = people_project.copy(tmp_path / "project")
    yield project
    shutil.rmtree(project.root)


def test_one_worker_gives_the_same_faces(people_project, copy):
    shutil.rmtree(copy / "data/faces")
    copy.set({"engine.workers": 1})
    copy.run("faces")
    assert copy.files("data/faces") == people_project.files("data/faces")


def test_mistakes_are_one_line(copy, tmp_path):
    copy.set({"label": "emotions"})
    assert "label: emotions: the clip table has no such column; did you mean emotion?" in copy.expect_error(
        "train"
    )
    copy.set({"label": "age"})  # the column exists, but is empty
    assert "at least 2 classes in training are needed" in copy.expect_error("train")
    (tmp_path / "no model.onnx").write_bytes(b"nothing")
    copy.set({"label": "emotion", "faces.model": str(tmp_path / "no model.onnx")})
    assert "faces.model: " in (line := copy.expect_error("faces")) and "not a YuNet model" in line
    copy.set({"faces.model": None, "faces.enabled": False})
    assert "input: face needs faces.enabled: true" in copy.expect_error("train")


def test_a_model_of_faces_searches_with_the_face_in_a_file(people_project, tmp_path):
    (tmp_path / "new.flv").write_bytes(people.render("1002_WSI_FEA_HI", 0))
    library = Library.open(people_project.root)
    query = library.read_and_embed(tmp_path / "new.flv")
    assert query.image.shape == (32, 32, 3) and query.embeddings.keys() == {"audio", "video"}
    assert library.directions(query) == ["audio_to_audio", "video_to_video"]
    assert len(library.nearest(query.embeddings["video"], "video_to_video", 3)) == 3
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((90, 120, 3), 90, np.uint8))
    with pytest.raises(UserError, match="no face in the middle frame"):
        library.read_and_embed(tmp_path / "wall.png")


def test_disabled_faces_leave_an_empty_index(finished_project):
    assert finished_project.rows("faces/index.parquet") == [] and not list(
        (finished_project / "data/faces").glob("0*")
    )


# --- people unseen in training --------------------------------------------------------------------------


def split_by_subject(project, seed: int) -> dict[str, set[str]]:
    """Split by subject with another seed; return the people of each split."""
    project.set({"label": "subject", "split.by": "subject", "split.seed": seed, "split.test": 0.5})
    project.run("split")
    people = {row["clip_id"]: row["subject"] for row in project.rows("clips.parquet")}
    people_by_split = {"train": set(), "val": set(), "test": set()}
    for row in project.rows("splits.parquet"):
        if row["split"]:
            people_by_split[row["split"]].add(people[row["clip_id"]])
    return people_by_split


def find_seed(sizes: dict[str, int]) -> int:
    """Return a split.seed that puts the given number of the four people into each split."""
    people = [f"subject:{1001 + i}" for i in range(4)]
    for seed in range(1000):
        splits = [split_of(person, 0.2, 0.5, seed) for person in people]
        if all(splits.count(name) == count for name, count in sizes.items()):
            return seed
    raise AssertionError(sizes)


def test_unseen_people_are_verified(copy):
    people_by_split = split_by_subject(copy, find_seed({"train": 2, "val": 0, "test": 2}))
    assert not people_by_split["train"] & people_by_split["test"] and len(people_by_split["test"]) == 2
    for stage in STAGES[STAGES.index("statistics") : STAGES.index("train")]:
        copy.run(stage)
    out, err = copy.start_stage("train").communicate(timeout=120)
    assert (
        not err and "training has no clip of the people of the test split: they are verified instead" in out
    )
    assert "test clips or pairs: verification eer" in copy.run("evaluate")
    metrics = json.loads((copy / "metrics/evaluate.json").read_text())
    assert metrics.keys() == {"verification"}
    for section in metrics["verification"].values():
        assert section["n"] > section["n_same"] > 0 and 0 <= section["eer"] <= 1
        assert section["ci"]["eer"] and section["chance"]["eer"] == 0.5
    copy.run("index")
    copy.run("report")
    assert "Verification by both" in (copy / "report/index.html").read_text()


def test_too_few_unseen_people_stop_training(copy):
    split_by_subject(copy, find_seed({"train": 3, "val": 0, "test": 1}))  # one person: verification needs two
    line = copy.expect_error("train")
    assert (
        "test clips of 1 people who are not in the training split: verification needs at least 2 people"
        in line
    )
    assert "split.seed" in line and not (copy / "resume").exists()
