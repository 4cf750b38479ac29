"""Training: it learns, and keeps the best epoch of validation."""

import json
import socket
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models import checkpoint
from models.audio import encoders as audio_encoders
from models.evaluation import evaluation
from models.evaluation.result import Settings
from models.video import encoders as video_encoders
from pipeline.errors import UserError
from pipeline.store import epochs
from testing import toy
from testing.preloaded_process import PreloadedProcess
from testing.toy import train
from testing.training import CLASSIFICATION_WITH_CHANCE, EXPERIMENTS, same_files, start_training


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    return out, train(data, out, epochs=12)


def test_it_learns(trained, data):
    out, summary = trained
    model = checkpoint.load(out / "out")
    audio, video = model.embed(data, data.indices("test"))
    scores = model.scores(audio, video)
    kind = np.arange(len(scores)) % toy.KINDS
    match = kind[:, None] == kind  # toys of one kind have similar sounds and pictures
    accuracy = ((scores[match] > 0).mean() + (scores[~match] <= 0).mean()) / 2
    assert accuracy > 0.8
    assert summary["epochs"] == 12 and summary["val/auc"] > 0.8


def test_the_best_epoch_is_chosen(trained):
    out, summary = trained
    aucs = [row["val/auc"] for row in epochs.read_history(out / "live")]
    assert len(aucs) == 12 and aucs[summary["best_epoch"] - 1] == max(aucs) == summary["val/auc"]
    metrics = json.loads((out / "live/metrics.json").read_text())
    assert metrics["epoch"] == 12 and metrics["best"]["epoch"] == summary["best_epoch"]
    assert set(metrics["val"]) == {"loss", "auc", "accuracy"} and "loss" in metrics["train"]
    assert sorted(p.name for p in (out / "out").iterdir()) == ["config.json", "model.safetensors"]


def test_the_config_says_everything(trained, data):
    config = json.loads((trained[0] / "out/config.json").read_text())
    assert config["audio_shape"] == [1, 16, 20] and config["video_shape"] == [1, 32, 32, 3]
    assert config["labels"] == [f"kind{k}" for k in range(toy.KINDS)]
    assert config["loss"] == "infonce" and config["train"]["epochs"] == 12


def test_a_loaded_model_computes_the_same_in_any_batch(trained, data):
    model = checkpoint.load(trained[0] / "out")
    audio, video = data.read(data.indices("test"))
    a, v = model.embed_audio(audio), model.embed_video(video)
    assert a.dtype == v.dtype == np.float32 and a.shape == v.shape == (16, 16)
    assert np.allclose(np.linalg.norm(a, axis=1), 1, atol=1e-5)
    assert np.array_equal(a, checkpoint.load(trained[0] / "out").embed_audio(audio))
    assert np.allclose(a[:1], model.embed_audio(audio[:1]), atol=1e-5)
    assert np.allclose(model.scores(a, v).diagonal(), model.score(a, v), atol=1e-5)
    assert model.embed_audio(audio[:0]).shape == (0, 16) and model.score(a[:0], v[:0]).shape == (0,)


@pytest.mark.parametrize("pairing", ["clip", "category"])
@pytest.mark.parametrize("matcher", ["distance", "concat"])
@pytest.mark.parametrize("loss", ["bce", "triplet", "infonce"])
def test_every_combination_runs(data, tmp_path, loss, matcher, pairing):
    names = toy.experiment(loss=loss, matcher=matcher, pairing=pairing)
    summary = train(data, tmp_path, names, epochs=1, precision="bf16-mixed")
    assert np.isfinite([v for v in summary.values()]).all()
    model = checkpoint.load(tmp_path / "out")
    assert np.isfinite(model.score(*model.embed(data, data.indices("test")))).all()


@pytest.mark.parametrize(
    ("kind", "name"),
    # `cached` reads features of networks, not windows: tests/models/parts/test_cached.py.
    [("audio", name) for name in audio_encoders.names() if name != "cached"]
    + [("video", name) for name in video_encoders.names() if name != "cached"],
)
def test_every_encoder_trains(data, tmp_path, kind, name):
    names = toy.experiment(**{f"{kind}_encoder": name})
    if name == "avolnet":
        names = toy.experiment(video_encoder=name, matcher="localize", loss="bce")
    two = toy.load(data.folder, SimpleNamespace(window_frames=2))
    assert np.isfinite(list(train(two, tmp_path, names, epochs=1).values())).all()
    model = checkpoint.load(tmp_path / "out")
    assert np.isfinite(model.score(*model.embed(two, two.indices("test")))).all()


@pytest.mark.parametrize("modality", ["audio", "video"])
@pytest.mark.parametrize("loss", ["bce", "cosine", "multi", "triplet", "supcon"])
def test_one_modality_alone(data, tmp_path, modality, loss):
    names = toy.experiment(loss=loss, modality=modality, pairing="category")
    train(data, tmp_path, names, epochs=6)
    model = checkpoint.load(tmp_path / "out")
    other = "video" if modality == "audio" else "audio"
    assert not any(name.startswith(f"{other}.") for name in model.module.state_dict())
    result = evaluation.evaluate(model, data, Settings("category", "category", 100, 0))
    assert set(result.metrics["retrieval"]) == set(result.galleries) == {f"{modality}_to_{modality}"}
    assert result.metrics["correspondence"]["auc"] > 0.65


def test_one_modality_needs_two_clips_of_a_label(tmp_path):
    data = toy.load(toy.write(tmp_path / "d", counts=(8, 0, 8)))  # 8 kinds, each once
    with pytest.raises(UserError, match="2 clips of one label"):
        train(data, tmp_path, toy.experiment(modality="audio", pairing="category"))


def test_small_sets_train(tmp_path):
    data = toy.load(toy.write(tmp_path / "d", counts=(3, 0, 2)))
    assert train(data, tmp_path, epochs=2, batch_size=2)["best_epoch"] == 2  # no validation: the last epoch
    assert checkpoint.load(tmp_path / "out").module.calibration.tolist() == [1, 0]


def test_labels_may_be_subjects(data, tmp_path):
    people = replace(data, columns=data.columns | {"subject": [f"p{i % 5}" for i in range(len(data))]})
    assert train(people, tmp_path, toy.experiment(pairing="category", label="subject"), epochs=1)
    with pytest.raises(UserError, match="there are 1 labels"):
        train(data, tmp_path, toy.experiment(pairing="category", label="subject"))


@pytest.mark.parametrize("counts", [(1, 0, 5), (5, 2, 1), (0, 0, 4)])
def test_too_few_clips_are_counted(tmp_path, counts):
    data = toy.load(toy.write(tmp_path / "d", counts=counts))
    with pytest.raises(UserError) as e:
        train(data, tmp_path)
    train_, val, test = counts
    assert f"{train_} to train, {val} to choose (val), {test} to test; at least 2 videos" in str(e.value)
    assert "\n" not in str(e.value)


def test_two_clips_of_one_video_are_too_few(data, tmp_path):
    one_group = replace(data, group=np.full(len(data), "one"))
    with pytest.raises(UserError, match="too few clips: 48 to train"):
        train(one_group, tmp_path)


def test_a_loss_that_is_not_finite_is_reported(data, tmp_path):
    with pytest.raises(UserError, match="lower train.learning_rate"):
        train(data, tmp_path, toy.experiment(loss="bce", matcher="concat"), learning_rate=1e30, epochs=3)


@pytest.mark.parametrize("name", ["matching", "pretraining"])
def test_worker_processes_change_nothing(data, tmp_path, name):
    options = {"setup": EXPERIMENTS[name], "epochs": 2, "augmentation": toy.AUGMENT}
    alone = train(data, tmp_path / "a", **options)
    helped = train(data, tmp_path / "b", **options, loader_workers=2)
    assert alone == helped
    assert same_files(tmp_path / "a", tmp_path / "b", ["out/model.safetensors"])


@pytest.mark.parametrize("what", ["{}", "[]", '{"format": 1}', "{", '{"format": 99}'])
def test_a_damaged_configuration_is_one_line(trained, tmp_path, what):
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_bytes((trained[0] / "out" / name).read_bytes())
    (tmp_path / "config.json").write_text(what)
    with pytest.raises(UserError) as e:
        checkpoint.load(tmp_path)
    assert "\n" not in str(e.value) and "train it again" in str(e.value)


def test_no_or_broken_weights_are_one_line(trained, tmp_path):
    with pytest.raises(UserError, match="not there: train a model first"):
        checkpoint.load(tmp_path)
    (tmp_path / "config.json").write_bytes((trained[0] / "out/config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="train it again"):
        checkpoint.load(tmp_path)


# --- several devices --------------------------------------------------------------------------------------


PLAIN = {  # no random numbers in the network, and no statistics of a batch
    "task": "classification",
    "modality": "audio",
    "audio_encoder": "transformer",
    "encoders": {"audio": {"dropout": 0.0, "inner": 16}, "video": {}, "joint": {}},
    "classification": CLASSIFICATION_WITH_CHANCE | {"dropout": 0.0, "mixup": 0.0},
}


def outputs_of(start_process, count: int) -> list[str]:
    """Start processes that train together, and return what each of them prints."""
    processes = [start_process(i) for i in range(count)]
    outputs = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=180)
        assert process.returncode == 0, stderr
        outputs.append(stdout)
    return outputs


@pytest.mark.parametrize("nodes", [1, 2])
def test_two_processes_train_the_model_of_one(folder, data, tmp_path, nodes):
    """By gloo: two batches of 8 are one of 16. Each clip is seen once, gradients are shared, one writes.

    On one machine Lightning starts the second process; on two, torchrun starts one on each with these
    variables.
    """
    options = {"devices": 2 // nodes, "batch_size": 8, "augment": False, "experiment": PLAIN}
    with socket.socket() as free_socket:
        free_socket.bind(("127.0.0.1", 0))
        port = free_socket.getsockname()[1]

    def node(number: int) -> PreloadedProcess:
        if nodes == 1:
            return start_training(folder, tmp_path, **options)
        variables = {
            "TORCHELASTIC_RUN_ID": "x",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "RANK": number,
        }
        variables |= {"WORLD_SIZE": 2, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
        variables |= {"GROUP_RANK": number, "GROUP_WORLD_SIZE": 2}
        return start_training(
            folder, tmp_path, env={name: str(value) for name, value in variables.items()}, **options
        )

    stdout = outputs_of(node, nodes)[0]
    assert [line.split(":")[1] for line in stdout.splitlines()] == [f" epoch {i} of 6" for i in range(1, 7)]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    train(data, tmp_path / "one", toy.experiment(**PLAIN), epochs=6, batch_size=16)
    shared, single = (checkpoint.load(tmp_path / folder) for folder in ("out", "one/out"))
    for name, value in single.module.state_dict().items():
        assert torch.allclose(shared.module.state_dict()[name], value, atol=1e-3), name
    histories = [model.config["history"] for model in (shared, single)]
    for name in ("train/loss", "val/loss", "val/accuracy"):
        one, other = ([row[name] for row in rows] for rows in histories)
        assert one == pytest.approx(other, rel=1e-3), name
    losses = [row["train/loss"] for row in histories[0]]
    assert losses[-1] < losses[0]


def test_gradients_accumulate_to_those_of_a_larger_batch(data, tmp_path):
    """A loss that is a mean over clips: three batches of 16 are one of 48, up to rounding."""
    experiment = toy.experiment(**PLAIN)
    train(data, tmp_path / "a", experiment, epochs=2, batch_size=16, accumulate=3)
    train(data, tmp_path / "b", experiment, epochs=2, batch_size=48)
    a, b = (checkpoint.load(tmp_path / x / "out").module.state_dict() for x in "ab")
    assert all(torch.allclose(a[k], b[k], atol=1e-4) for k in a)
