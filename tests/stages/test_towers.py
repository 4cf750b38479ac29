"""Features of towers through the stages: trained on, evaluated, indexed; files get the same vectors."""

import numpy as np
import pyarrow.parquet as pq

from models.sharing.load import load

TOWERS = ("audio_towers", "video_towers")


def test_every_usable_clip_has_features(finished_project):
    for stage, folder, before in zip(
        TOWERS, ("audio_features", "video_features"), ("spectrogram", "frames"), strict=True
    ):
        rows = {row["clip_id"]: row for row in finished_project.rows(f"{folder}/index.parquet")}
        upstream = {row["clip_id"]: row["status"] for row in finished_project.rows(f"{before}/index.parquet")}
        assert {clip: row["status"] for clip, row in rows.items()} == upstream
        array = np.load(finished_project / f"data/{folder}/00000.npy")
        assert array.dtype == np.float16 and np.isfinite(array).all()
        assert (finished_project / "last_lines" / stage).read_text().startswith(f"{stage}: 40 clips in")


def test_a_file_gets_the_vectors_of_its_clip(cached_project, tmp_path):
    model = load(cached_project.root)
    embeddings = {
        side: np.load(cached_project / f"data/embeddings/{side}.npy") for side in ("audio", "video")
    }
    media = {
        row["clip_id"]: row["video"]["bytes"]
        for path in sorted((cached_project / "data/media").glob("0*[0-9].parquet"))
        for row in pq.read_table(path, columns=["clip_id", "video"]).to_pylist()
    }
    for row, clip in enumerate(cached_project.rows("embeddings/clips.parquet")[:6]):
        path = tmp_path / f"{clip['clip_id']}.flv"
        path.write_bytes(media[clip["clip_id"]])
        for side, vector in model.embed(path).items():
            assert np.abs(vector - embeddings[side][row]).max() < 1e-4


def test_nothing_is_computed_twice(cached_project):
    for stage in TOWERS:
        assert "; 0 made" in cached_project.run(stage)
    assert cached_project.run("train").startswith("train: ")


def test_other_networks_are_other_features(cached_project, tmp_path):
    project = cached_project.copy(tmp_path / "project")
    project.set({"towers.video": ["timm/test_vit"]})
    assert "; 39 made" in project.run("video_towers") and "; 0 made" in project.run("audio_towers")
    project.set({"towers.video": []})
    line = project.expect_error("video_towers")
    assert "video_encoder: cached needs towers.video: name networks" in line
    project.set({"video_encoder": "cnn_avg"})
    assert project.run("video_towers") == "video_towers: nothing to do (towers.video is empty)"
    assert project.rows("video_features/index.parquet") == []


def test_a_network_that_cannot_be_loaded_is_one_line(cached_project, tmp_path):
    project = cached_project.copy(tmp_path / "project")
    project.set({"encoders.video": {"timm": {"pretrained": str(tmp_path / "none.safetensors")}}})
    assert "none.safetensors: no such file" in project.expect_error("video_towers")
