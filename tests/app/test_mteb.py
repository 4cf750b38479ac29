"""`python -m app.mteb`, on tasks in mteb's format that are made here."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from app import mteb as command
from earsight import load
from models import checkpoint
from models.version import VERSION
from pipeline.errors import UserError
from pipeline.media.wav import read_wav, write_wav
from testing.in_process import run_command
from testing.recordings import grey_frame, record, sine
from testing.untrained import build_untrained_model

mteb = pytest.importorskip("mteb")
datasets = pytest.importorskip("datasets")

AbsTaskRetrieval = importlib.import_module("mteb.abstasks").AbsTaskRetrieval
N_CLIPS = 5
IDS = [f"clip{i}" for i in range(N_CLIPS)]
RATE = 16_000
FEATURES = {"audio": datasets.Audio(), "image": datasets.Image(), "video": datasets.Video()}


def save_model(path, **changes):
    model = build_untrained_model(**changes)
    checkpoint.save(path, model.module, model.config | {"version": VERSION})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("dist") / "bells", loss="infonce")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """For each clip the paths of `audio` (WAV), `image` (PNG) and `video`."""
    root, rng = tmp_path_factory.mktemp("media"), np.random.default_rng(0)
    clips = []
    for i in range(N_CLIPS):
        paths = {
            name: root / f"{i}.{suffix}" for name, suffix in zip(FEATURES, ("wav", "png", "flv"), strict=True)
        }
        sound = 20_000 * sine(2.0, 300 * (i + 1), RATE) * rng.uniform(0.3, 1, 2 * RATE)
        paths["audio"].write_bytes(write_wav(sound.astype(np.int16), RATE))
        frames = [grey_frame(12 * i + j // 10) for j in range(60)]
        frames[30].to_image().save(paths["image"])
        record(paths["video"], frames=frames)
        clips.append(paths)
    return clips


def table(files, *names):
    """Return a data set with the ids of the clips, and a column of the bytes of their files for each name."""
    rows = datasets.Dataset.from_dict({"id": IDS[: len(files)]})
    for name in names:  # cast, because to encode them `datasets` needs torchcodec
        rows = rows.add_column(name, [{"bytes": paths[name].read_bytes(), "path": None} for paths in files])
        rows = rows.cast_column(name, FEATURES[name])
    return rows


def describe(name="Test", *modalities, kind="Any2AnyRetrieval", category=None):
    return mteb.TaskMetadata(
        name=name,
        description="Clips of this test",
        type=kind,
        dataset={"path": "none/none", "revision": "1"},
        eval_langs=["zxx-Zxxx"],
        main_score="recall_at_1",
        modalities=list(modalities),
        category=category,
    )


def encode(model, rows, *modalities):
    """Call `encode` as mteb does."""
    loader = torch.utils.data.DataLoader(rows, batch_size=2)
    return model.encode(
        loader,
        task_metadata=describe("Test", *modalities),
        hf_split="test",
        hf_subset="default",
        batch_size=2,
    )


def embed(folder, files, name, side):
    """Embed the clips' files without mteb: (clips, dim)."""
    model = load(folder)
    return np.stack([model.embed(paths[name])[side] for paths in files])


@pytest.fixture
def sound_to_picture(files, monkeypatch):
    """A retrieval task that mteb knows by its name."""

    class SoundToPicture(AbsTaskRetrieval):
        metadata = describe("SoundToPicture", "audio", "video", category="a2v")

        def load_data(self, **options):
            self.queries, self.corpus = {"test": table(files, "audio")}, {"test": table(files, "video")}
            self.relevant_docs = {"test": {clip_id: {clip_id: 1} for clip_id in IDS}}
            self.data_loaded = True

    registry = importlib.import_module("mteb.get_tasks")._TASKS_REGISTRY
    monkeypatch.setitem(registry, "SoundToPicture", SoundToPicture)


def test_a_retrieval_task(folder, files, sound_to_picture, tmp_path, monkeypatch):
    arguments = ("--tasks", "SoundToPicture", "--model", folder, "--out", tmp_path / "results")
    status, output, error = run_command(command.evaluate, tmp_path, *arguments)
    assert not error and status == 0
    cosines = embed(folder, files, "audio", "audio") @ embed(folder, files, "video", "video").T
    recall = float(np.mean(cosines.argmax(1) == np.arange(N_CLIPS)))
    line, path = output.splitlines()[-1].rsplit(": ", 1)
    assert line == f"mteb: SoundToPicture: recall_at_1 {recall:.4f}"
    [scores] = json.loads(Path(path).read_text())["scores"]["test"]
    ranks = (cosines >= cosines.diagonal()[:, None]).sum(1)
    for k in (1, 3):
        assert scores[f"recall_at_{k}"] == pytest.approx(np.mean(ranks <= k), abs=1e-4)
    # mteb reads its own files: another run finds the result.
    monkeypatch.setattr(command.MtebModel, "encode", None)
    assert run_command(command.evaluate, tmp_path, *arguments) == (0, output, "")


def test_a_model_says_what_it_is(folder):
    meta = command.MtebModel(str(folder), hop_seconds=0.5).mteb_model_meta
    config = json.loads((folder / "config.json").read_text())
    assert (meta.name, meta.revision) == ("earsight/bells", config["weights_digest"])
    assert (meta.modalities, meta.embed_dim) == (["audio", "image", "video"], 16)
    assert meta.experiment_kwargs == {"hop_seconds": 0.5}


def test_files_and_samples_have_the_embeddings_of_load(folder, files):
    model = command.MtebModel(str(folder))
    sounds = embed(folder, files, "audio", "audio")
    pictures = embed(folder, files, "image", "video")
    assert np.allclose(encode(model, table(files, "image"), "image"), pictures, atol=1e-6)
    sums = sounds + pictures
    both = encode(model, table(files, "audio", "image"), "audio", "image")
    assert np.allclose(both, sums / np.linalg.norm(sums, axis=1)[:, None], atol=1e-6)
    samples = [read_wav(paths["audio"].read_bytes())[0] / 2**15 for paths in files]
    rows = {"audio": [{"array": [x, x], "sampling_rate": RATE} for x in samples]}  # two equal channels
    assert np.allclose(encode(model, datasets.Dataset.from_dict(rows), "audio"), sounds, atol=0.01)
    paths = datasets.Dataset.from_dict({"audio": [str(f["audio"]) for f in files]}).cast_column(
        "audio", FEATURES["audio"]
    )
    assert np.allclose(encode(model, paths, "audio"), sounds, atol=1e-6)


def test_the_mean_of_windows_along_a_clip(folder, files):
    model = command.MtebModel(str(folder), hop_seconds=0.25)
    vectors = encode(model, table(files, "audio"), "audio")
    _, windows = load(folder).embed_along(files[0]["audio"], 0.25)
    assert len(windows["audio"]) == 5
    mean = windows["audio"].mean(0)
    assert np.allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_text_takes_the_place_of_a_picture(folder, monkeypatch):
    monkeypatch.setattr(command, "text_side", lambda model: "video")
    monkeypatch.setattr(
        command, "embed_texts", lambda model, texts: ("video", np.eye(16)[[len(t) for t in texts]])
    )
    model = command.MtebModel(str(folder))
    assert model.mteb_model_meta.modalities[-1] == "text"
    rows = datasets.Dataset.from_dict({"text": ["bell", "drum roll"]})
    assert np.array_equal(encode(model, rows, "text"), np.eye(16)[[4, 9]])


def test_mistakes_are_one_line(folder, files, sound_to_picture, tmp_path, monkeypatch):
    concat = save_model(tmp_path / "concat", matcher="concat")
    for words, message in [
        (
            ["--tasks", "SoundToPictures", "--model", folder],
            "--tasks: 'SoundToPictures' not found. Did you mean",
        ),
        (["--tasks", "ESC50", "--model", tmp_path], "no model in this folder"),
        (
            ["--tasks", "STS12", "--model", folder],
            "STS12: a task with text: the model reads audio, image, video",
        ),
        (["--tasks", "SoundToPicture", "--model", concat], "does not compare sounds with pictures so"),
        (["--tasks", "ESC50", "--model", folder, "--every", "0.001"], "--every 0.001: a column of"),
    ]:
        status, output, error = run_command(command.evaluate, tmp_path, *words, "--out", tmp_path)
        assert status == 1 and message in error and len(error.splitlines()) == 1, error
    model, broken = command.MtebModel(str(folder)), tmp_path / "broken.wav"
    broken.write_text("no sound")
    rows = table([*files[:-1], files[-1] | {"audio": broken}], "audio")
    with pytest.raises(UserError, match=f"^Test, test, row {N_CLIPS - 1}: audio: neither sound nor picture"):
        encode(model, rows, "audio")
    monkeypatch.setitem(sys.modules, "mteb", None)
    status, output, error = run_command(command.evaluate, tmp_path, "--tasks", "ESC50")
    assert status == 1 and "uv pip install mteb" in error
