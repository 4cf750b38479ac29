"""`python -m app.features`: vectors and an index of a folder, also after a kill; errors are one line."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from app import features as command
from models.inference import extract, extract_step
from models.inference.extract_step import FeaturesStep
from models.inference.vectors import to_array
from models.weights import weights_digest
from pipeline.engine import runner
from pipeline.errors import UserError
from pipeline.store.output_folder import lock_folder
from testing.in_process import run_command
from testing.project import Project, wait_until
from testing.recordings import record, sine


def files(folder: Path) -> dict[str, bytes]:
    """Read all files that a run wrote, hidden files too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def read_index(out: Path) -> dict[str, dict]:
    return {r["clip_id"]: r for r in pq.read_table(out / "index.parquet").to_pylist()}


@pytest.fixture
def extract_features(finished_project):
    """A function that runs the command in the project. Returns (output, error line)."""

    def extract_features(*words) -> tuple[str, str]:
        return run_command(command.features, finished_project.root, *words)[1:]

    return extract_features


@pytest.fixture(scope="module")
def media(finished_project: Project, tmp_path_factory) -> Path:
    """Write all clips of the synthetic data as files, some of them broken, and two that are no media."""
    folder = tmp_path_factory.mktemp("media")
    for row in finished_project.rows("media/index.parquet"):
        value = finished_project.rows(f"media/{row['shard']:05d}.parquet")[row["row"]]
        deep = folder / ("deep/er" if row["row"] == 3 else "")
        deep.mkdir(parents=True, exist_ok=True)
        (deep / f"{row['clip_id']}.flv").write_bytes((value["video"] or value["audio"])["bytes"])
    (folder / "noise.mp4").write_bytes(b"as good as any")
    (folder / "notes.txt").write_text("not media")
    return folder


def test_vectors_equal_those_of_the_stage_index(finished_project, media, extract_features, tmp_path):
    out = tmp_path / "out"
    output, failed = extract_features(media, out, "--workers", 2)
    assert not failed and "1 file is not media by extension, left out: 1 .txt" in output
    assert "41 clips in, 40 ok, 1 corrupt; 41 made" in output and "audio 16, video 16" in output
    table, index = pq.read_table(out / "features.parquet"), read_index(out)
    assert table.column_names == ["clip_id", "path", "start", "audio", "video"]
    columns = {side: to_array(table[side]) for side in ("audio", "video")}
    row = {Path(path).stem: i for i, path in enumerate(table["path"].to_pylist())}
    stored = [c["clip_id"] for c in finished_project.rows("embeddings/clips.parquet")]
    assert len(stored) > 20
    for side, vectors in columns.items():
        expected = np.load(finished_project / f"data/embeddings/{side}.npy")
        assert np.allclose(vectors[[row[clip_id] for clip_id in stored]], expected, atol=1e-5)
    # Other clips have vectors of the sides that they have; the detail says what is missing.
    for clip_id, entry in index.items():
        i = row.get(Path(entry["path"]).stem)
        complete = i is not None and not any(np.isnan(vectors[i]).any() for vectors in columns.values())
        assert bool(entry["detail"]) == (not complete), clip_id
    assert {entry["detail"].split(":")[0] for entry in index.values()} == {"", "no sound", "no picture"}
    assert index["noise"]["status"] == "corrupt" and index["noise"]["windows"] is None
    summary = json.loads((out / "features.json").read_text())
    assert summary["dim"] == {"audio": 16, "video": 16} and summary["clips"] == {"corrupt": 1, "ok": 40}
    assert summary["windows"] == len(table) == 40 and summary["every"] is None and summary["side"] == "both"

    # The other format has the same vectors, and replaces the first.
    output, failed = extract_features(media, out, "--format", "npy")
    assert not failed and "0 made, nothing to do" in output
    assert sorted(p.name for p in out.iterdir()) == [
        ".shards", "audio.npy", "clips.parquet", "features.json", "index.parquet", "video.npy",
    ]  # fmt: skip
    assert pq.read_table(out / "clips.parquet").equals(table.select(["clip_id", "path", "start"]))
    for side, vectors in columns.items():
        assert np.array_equal(np.load(out / f"{side}.npy", mmap_mode="r"), vectors, equal_nan=True)


@pytest.mark.parametrize(("has_gpu", "words", "workers"), [(True, [], 4), (True, [2], 2), (False, [], None)])
def test_few_processes_share_a_gpu(media, extract_features, tmp_path, monkeypatch, has_gpu, words, workers):
    monkeypatch.setattr(command, "_start_fork_server", lambda config: has_gpu)

    def stop(job, rows, shard_size, engine):
        raise UserError(f"workers: {engine.workers}")

    monkeypatch.setattr(runner, "run", stop)
    options = ["--workers", *words] if words else []
    assert extract_features(media, tmp_path / "out", *options)[1] == f"ERROR: workers: {workers}"


def test_a_process_looks_for_a_gpu(monkeypatch):
    for has_gpu in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        with pytest.raises(SystemExit) as status:
            extract_step.exit_with_device()
        assert status.value.code == (extract_step.GPU_STATUS if has_gpu else 0)


def test_it_resumes_after_kill_9(finished_project, media, extract_features, tmp_path):
    words = ["--every", "0.1"]
    process = finished_project.start_stage(
        "app.features", str(media), str(tmp_path / "a"), *words, "--workers", "2"
    )
    shards = tmp_path / "a/.shards"
    wait_until(lambda: len(list(shards.glob("0*.index.parquet"))) >= 2 or process.poll() is not None)
    process.kill()
    out, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, out + err
    time.sleep(0.2)  # until the workers have noticed it
    output, failed = extract_features(media, tmp_path / "a", *words, "--workers", 1)
    assert not failed and "41 made" not in output
    output, failed = extract_features(media, tmp_path / "b", *words, "--workers", 2)
    assert not failed and "41 made" in output
    # Neither the kill nor the number of workers changes a byte.
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert not [name for name in files(tmp_path / "a") if name.endswith(".tmp")]


def test_ctrl_c_is_one_line(finished_project, media, tmp_path):
    process = finished_project.start_stage("app.features", str(media), str(tmp_path / "out"))
    wait_until(lambda: (tmp_path / "out/.shards").exists())
    time.sleep(0.1)  # the fork server is importing
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=5)
    assert process.returncode == 1, out + err
    assert err.splitlines() == ["features: interrupted: what is finished is kept, run again to go on"]


def test_only_new_and_changed_files_are_processed(extract_features, tmp_path):
    media, out = tmp_path / "media", tmp_path / "out"
    media.mkdir()
    for i in range(5):
        record(media / f"{i}.flv", frames=45, sound=sine(1.5, 300 + 100 * i))
    assert "5 made" in extract_features(media, out)[0]
    before = files(out)
    assert (
        "5 clips in, 5 ok; 0 made, nothing to do" in extract_features(media, out)[0] and files(out) == before
    )
    record(media / "0first.flv", frames=45, sound=sine(1.5, 900))
    assert "6 clips in, 6 ok; 1 made" in extract_features(media, out)[0]
    extract_features(media, tmp_path / "fresh")
    assert files(out) == files(tmp_path / "fresh")
    old = to_array(pq.read_table(out / "features.parquet")["audio"])
    record(media / "3.flv", frames=45, sound=sine(1.5, 1500))
    assert "6 clips in, 6 ok; 1 made" in extract_features(media, out)[0]
    new = to_array(pq.read_table(out / "features.parquet")["audio"])
    assert [i for i in range(6) if not np.array_equal(old[i], new[i])] == [4]
    # Moving the folder and changing labels does not change the vectors.
    shutil.move(media, tmp_path / "elsewhere")
    media = tmp_path / "elsewhere"
    (media / "clips.csv").write_text("path,labels\n" + "".join(f"{i}.flv,a\n" for i in range(5)))
    output, _ = extract_features(media, out)
    assert "5 clips in, 5 ok; 0 made" in output and "not in clips.csv, left out: '0first.flv'" in output
    # Other settings compute all vectors again.
    assert "5 made" in extract_features(media, out, "--side", "audio")[0]
    assert pq.read_table(out / "features.parquet").column_names == ["clip_id", "path", "start", "audio"]
    assert "5 made" in extract_features(media, out, "--every", "0.5")[0]
    (media / "clips.csv").write_text("path,start,end\n1.flv,0.5,1.5\n1.flv,,\n")
    assert "2 clips in, 2 ok; 1 made" in extract_features(media, out, "--every", "0.5")[0]
    table = pq.read_table(out / "features.parquet")
    assert table["start"].to_pylist() == [0.5, 1.0, 0.0, 0.5, 1.0] and set(table["path"].to_pylist()) == {
        "1.flv"
    }


class Crashing(FeaturesStep):
    """A decoder that one file crashes."""

    def __call__(self, clips, values):
        if any(clip["clip_id"] == "b" for clip in clips):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().__call__(clips, values)


def test_a_file_that_crashes_the_decoder_fails_alone(finished_project, extract_features, tmp_path):
    media, model, out = tmp_path / "media", finished_project / "checkpoints", tmp_path / "out"
    media.mkdir()
    for i, name in enumerate("abc"):
        record(media / f"{name}.flv", frames=45, sound=sine(1.5, 300 + 100 * i))
    extract_features(media, tmp_path / "whole")
    expected = to_array(pq.read_table(tmp_path / "whole/features.parquet")["audio"])
    clips = [
        {"clip_id": name, "start": None, "end": None}
        | dict.fromkeys(("path", "audio", "video"), f"{name}.flv")
        for name in "abc"
    ]
    step = Crashing(str(media), str(model), weights_digest(model), "both", None)
    config = json.loads((model / "config.json").read_text())
    job = extract.create_job(step, config, out, [None] * 3)
    index = runner.run(job, clips, 32, SimpleNamespace(name="local", workers=1, timeout=60.0, storage=None))
    summary = extract.write_features(job, config, clips, index, out, "parquet")
    assert summary["clips"] == {"crashed": 1, "ok": 2} and summary["windows"] == 2
    assert read_index(out)["b"]["detail"] == "the decoder crashed (SIGSEGV)"
    # After the crash, each clip was processed alone.
    assert np.array_equal(to_array(pq.read_table(out / "features.parquet")["audio"]), expected[[0, 2]])


def test_mistakes_are_one_line(finished_project, extract_features, tmp_path, capsys):
    media, empty, out = tmp_path / "media", tmp_path / "empty", tmp_path / "out"
    for folder in (media, empty):
        folder.mkdir()
    record(media / "a.flv", frames=45, sound=sine(1.5))
    (tmp_path / "file").write_text("text")
    other = finished_project.copy(tmp_path / "other")
    model = other / "checkpoints"
    (model / "config.json").write_text("{}")
    for words, message in [
        ([tmp_path / "gone", out], "gone: no such folder: make it and put videos there, or set FOLDER to"),
        ([tmp_path / "file", out], "file: not a folder: FOLDER must be a folder of videos, not one file"),
        ([empty, out], "no video, sound or picture files in this folder"),
        ([media, out, "--model", empty], "config.json: no such file: train a model first"),
        ([media, out, "--model", model], "config.json: not the config of a model"),
        ([media, media / "deep/out"], "deep/out: is in the folder of the media"),
        ([media, media], ": choose a folder outside"),
        ([media, tmp_path / "file"], "file: is a file"),
        ([media, tmp_path / "file/out"], "cannot be written (Not a directory): choose another folder"),
        ([media, tmp_path], "contains other files: choose a new folder"),
        ([media, "/proc/out"], "/proc/out: cannot be written"),
        ([media, out, "--every", "0.001"], "--every 0.001: a column of the model's features is 0.01 s"),
    ]:
        printed, failed = extract_features(*words)
        assert message in failed and failed.startswith("ERROR: ") and len(failed.splitlines()) == 1, failed
        assert not printed
    assert not list(out.glob("*.parquet"))
    for words in (
        ["--every", "0"],
        ["--every", "-1"],
        ["--every", "nan"],
        ["--workers", "0"],
        ["--side", "x"],
    ):
        with pytest.raises(SystemExit):
            command.parse_arguments(["a", "b", *words])
        assert "error: argument --" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.parse_arguments(["--help"])
    assert "features.parquet" in capsys.readouterr().out


def test_one_at_a_time(extract_features, media, tmp_path):
    (tmp_path / "out/.shards").mkdir(parents=True)
    with lock_folder(tmp_path / "out"):
        assert "another process writes there" in extract_features(media, tmp_path / "out")[1]
