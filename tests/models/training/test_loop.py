"""Training: it learns, it chooses by validation, and a kill changes nothing."""

import json
import os
import re
import signal
import socket
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models import checkpoint
from models.audio import encoders as audio_encoders
from models.evaluation import evaluation, trial
from models.training import cached
from models.training.experiment import configure_pretraining
from models.training.loop import Record, _precision, train
from models.video import encoders as video_encoders
from pipeline.errors import UserError
from pipeline.store import epochs
from testing import toy
from testing.project import ROOT
from testing.warm import Warm

CHANCY = toy.PARAMS.classification.model_dump() | {"dropout": 0.4, "mixup": 0.4, "mixup_rate": 0.5}
EXPERIMENTS = {  # without chance in the network itself, and with it
    "matching": toy.experiment(),
    "classification": toy.experiment(task="classification", classification=CHANCY),
    "pretraining": configure_pretraining(
        toy.PARAMS.override({"task": "pretraining", "encoders.joint.cav_mae": {"patch": 8, "width": 16}})
    ),
}


def run(data, out, fingerprint="x", experiment=None, change=toy.NO_AUGMENT, **settings):
    sections = toy.settings(**settings), change, toy.INPUTS
    return train(experiment or toy.experiment(), *sections, data, out / "out", out / "live", fingerprint)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    return out, run(data, out, epochs=12)


def test_it_learns(trained, data):
    out, summary = trained
    model = checkpoint.load(out / "out")
    audio, video = model.embed(data, data.of("test"))
    scores = model.scores(audio, video)
    kind = np.arange(len(scores)) % toy.KINDS
    match = kind[:, None] == kind  # of one kind: toys of one kind look and sound alike
    accuracy = ((scores[match] > 0).mean() + (scores[~match] <= 0).mean()) / 2
    assert accuracy > 0.8
    assert summary["epochs"] == 12 and summary["val/auc"] > 0.8


def test_the_best_epoch_is_chosen(trained):
    out, summary = trained
    aucs = [row["val/auc"] for row in epochs.read(out / "live")]
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


def test_a_loaded_model_is_the_same_in_any_portion(trained, data):
    model = checkpoint.load(trained[0] / "out")
    audio, video = data.read(data.of("test"))
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
    summary = run(data, tmp_path, experiment=names, epochs=1, precision="bf16-mixed")
    assert np.isfinite([v for v in summary.values()]).all()
    model = checkpoint.load(tmp_path / "out")
    assert np.isfinite(model.score(*model.embed(data, data.of("test")))).all()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("audio", n) for n in audio_encoders.names()] + [("video", n) for n in video_encoders.names()],
)
def test_every_encoder_trains(data, tmp_path, kind, name):
    names = toy.experiment(**{f"{kind}_encoder": name})
    if name == "avolnet":
        names = toy.experiment(video_encoder=name, matcher="localize", loss="bce")
    two = toy.load(data.audio.folder.parent, SimpleNamespace(window_frames=2))
    assert np.isfinite(list(run(two, tmp_path, experiment=names, epochs=1).values())).all()
    model = checkpoint.load(tmp_path / "out")
    assert np.isfinite(model.score(*model.embed(two, two.of("test")))).all()


@pytest.mark.parametrize("modality", ["audio", "video"])
@pytest.mark.parametrize("loss", ["bce", "cosine", "multi", "triplet", "supcon"])
def test_one_modality_alone(data, tmp_path, modality, loss):
    names = toy.experiment(loss=loss, modality=modality, pairing="category")
    run(data, tmp_path, experiment=names, epochs=6)
    model = checkpoint.load(tmp_path / "out")
    other = "video" if modality == "audio" else "audio"
    assert not any(name.startswith(f"{other}.") for name in model.module.state_dict())
    found = evaluation.evaluate(model, data, "category", "category", 100, 0)
    assert set(found.metrics["retrieval"]) == set(found.galleries) == {f"{modality}_to_{modality}"}
    assert found.metrics["correspondence"]["auc"] > 0.65


def test_one_modality_needs_two_clips_of_a_label(tmp_path):
    data = toy.load(toy.write(tmp_path / "d", counts=(8, 0, 8)))  # 8 kinds, each once
    with pytest.raises(UserError, match="2 clips of one label"):
        run(data, tmp_path, experiment=toy.experiment(modality="audio", pairing="category"))


def test_a_finished_model_is_not_trained_again(data, tmp_path, monkeypatch):
    params = toy.PARAMS.override({"train.epochs": 1, "train.embedding_dim": 8})
    before = trial.run(params, data, tmp_path / "out", seed=3)
    assert before[0].config["seed"] == 3 and len(before[0].config["history"]) == 1
    with monkeypatch.context() as m:
        m.setattr(cached, "train", lambda *_: pytest.fail("trained again"))
        assert trial.run(params, data, tmp_path / "out", seed=3)[1] == before[1]
    monkeypatch.setattr(cached, "code_digest", lambda *_: "other code")
    with monkeypatch.context() as m, pytest.raises(RuntimeError, match="trained again"):
        m.setattr(cached, "train", lambda *_: (_ for _ in ()).throw(RuntimeError("trained again")))
        trial.run(params, data, tmp_path / "out", seed=3)
    after = trial.run(params, data, tmp_path / "out", seed=4)
    assert after[0].config["seed"] == 4


def test_small_sets_train(tmp_path):
    data = toy.load(toy.write(tmp_path / "d", counts=(3, 0, 2)))
    assert run(data, tmp_path, epochs=2, batch_size=2)["best_epoch"] == 2  # nothing to choose by: the last
    assert checkpoint.load(tmp_path / "out").module.calibration.tolist() == [1, 0]


def test_labels_may_be_subjects(data, tmp_path):
    people = replace(data, columns=data.columns | {"subject": [f"p{i % 5}" for i in range(len(data))]})
    assert run(people, tmp_path, experiment=toy.experiment(pairing="category", label="subject"), epochs=1)
    with pytest.raises(UserError, match="there are 1 labels"):
        run(data, tmp_path, experiment=toy.experiment(pairing="category", label="subject"))


@pytest.mark.parametrize("counts", [(1, 0, 5), (5, 2, 1), (0, 0, 4)])
def test_too_few_clips_are_counted(tmp_path, counts):
    data = toy.load(toy.write(tmp_path / "d", counts=counts))
    with pytest.raises(UserError) as e:
        run(data, tmp_path)
    train_, val, test = counts
    assert f"{train_} to train, {val} to choose (val), {test} to test; at least 2 videos" in str(e.value)
    assert "\n" not in str(e.value)


def test_two_clips_of_one_video_are_too_few(data, tmp_path):
    alike = replace(data, group=np.full(len(data), "one"))
    with pytest.raises(UserError, match="too few clips: 48 to train"):
        run(alike, tmp_path)


def test_a_loss_that_is_no_number_is_told(data, tmp_path):
    broken = toy.settings(learning_rate=1e30, epochs=3)
    with pytest.raises(UserError, match="lower train.learning_rate"):
        train(
            toy.experiment(loss="bce", matcher="concat"),
            broken,
            toy.NO_AUGMENT,
            toy.INPUTS,
            data,
            tmp_path / "o",
            tmp_path / "l",
            "x",
        )


@pytest.mark.parametrize("name", ["matching", "pretraining"])
def test_worker_processes_change_nothing(data, tmp_path, name):
    how = {"experiment": EXPERIMENTS[name], "epochs": 2, "change": toy.AUGMENT}
    alone = run(data, tmp_path / "a", **how)
    helped = run(data, tmp_path / "b", **how, loader_workers=2)
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


def test_precision_is_what_the_machine_gains_by(monkeypatch):
    assert _precision("16-mixed") == "16-mixed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has, wanted in (({"avx2": True}, "32-true"), ({"avx2": True, "avx512_bf16": True}, "bf16-mixed")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert _precision("auto") == wanted


# --- killed, and run again ----------------------------------------------------------------------------


def start(folder, out, precision="32-true", env=None, **more):
    """Train in a process of its own, without the time that imports take."""
    return Warm(ROOT, ["testing.toy", str(folder), str(out), precision, json.dumps(more)], env)


def wait_for(process, text):
    """Read the output until `text` comes."""
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.communicate()}")


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def same_files(a, b, names):
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in names)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """A training that nobody killed."""
    out = tmp_path_factory.mktemp("whole")
    process = start(folder, out, "bf16-mixed")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert stderr == ""  # no chatter
    assert stdout.splitlines()[0].startswith("train: epoch 1 of 6: train loss ")
    assert len(stdout.splitlines()) == 6
    return out


def test_killed_and_run_again_is_the_same_bit_for_bit(folder, whole, tmp_path):
    process = start(folder, tmp_path, "bf16-mixed")
    wait_for(process, "epoch 3 of")
    time.sleep(0.05)  # somewhere in the next epoch
    process.kill()
    process.communicate()
    assert (tmp_path / "resume/train-same.ckpt").exists()
    process = start(folder, tmp_path, "bf16-mixed")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "going on after epoch" in stdout
    assert files(tmp_path) == files(whole)
    assert same_files(whole, tmp_path, files(whole))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_quick_and_saves_the_last_epoch(folder, whole, tmp_path, signum):
    """Also where no epoch would be saved otherwise: the first save takes so long that none is due again."""
    process = start(folder, tmp_path, "bf16-mixed", slow_saving=True)
    wait_for(process, "epoch 3 of")
    began = time.monotonic()
    for _ in range(2):  # a second one must not stop what the first one has begun
        with suppress(ProcessLookupError):
            os.kill(process.pid, signum)
        time.sleep(0.02)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 1 and stderr == "interrupted\n"
    assert time.monotonic() - began < 10
    told = sum("train: epoch" in line for line in stdout.splitlines())
    stdout, _ = start(folder, tmp_path, "bf16-mixed").communicate(timeout=120)
    assert int(re.search(r"going on after epoch (\d) of 6", stdout)[1]) >= told >= 3
    assert same_files(whole, tmp_path, files(whole))


def stop_after(monkeypatch, epoch):
    """Break off the training after an epoch's checkpoint is written."""
    from models.training.recorder import Record

    save = Record._save

    def interrupted(self, trainer, now):
        self.saved = self.saving = 0.0
        save(self, trainer, now)
        if now + 1 == epoch:
            raise RuntimeError("broken off")

    monkeypatch.setattr(Record, "_save", interrupted)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("epoch", [1, 3])
def test_an_unfinished_training_goes_on(data, tmp_path, monkeypatch, capsys, epoch, name):
    with monkeypatch.context() as m, pytest.raises(RuntimeError, match="broken off"):
        stop_after(m, epoch)
        run(data, tmp_path / "b", experiment=EXPERIMENTS[name])
    summary = run(data, tmp_path / "b", experiment=EXPERIMENTS[name])
    assert f"going on after epoch {epoch} of 3" in capsys.readouterr().out
    assert summary == run(data, tmp_path / "a", experiment=EXPERIMENTS[name])
    assert same_files(tmp_path / "a", tmp_path / "b", files(tmp_path / "a"))


def test_each_training_has_its_own_checkpoint(data, tmp_path, unfinished, monkeypatch, capsys):
    with monkeypatch.context() as m, pytest.raises(RuntimeError, match="broken off"):
        stop_after(m, 2)
        run(data, tmp_path)
    run(data, tmp_path, fingerprint="y", epochs=1)
    assert "going on" not in capsys.readouterr().out
    assert [p.name for p in unfinished.iterdir()] == ["train-x.ckpt"]
    run(data, tmp_path)
    assert "going on after epoch 2 of 3" in capsys.readouterr().out
    assert not [*unfinished.iterdir()]


@pytest.mark.parametrize("content", [b"torn", b""])
def test_a_torn_checkpoint_is_not_used(data, tmp_path, unfinished, capsys, content):
    unfinished.mkdir()
    (unfinished / "train-x.ckpt").write_bytes(content)
    assert run(data, tmp_path, epochs=1)["epochs"] == 1
    assert "cannot be used" in capsys.readouterr().out
    assert not [*unfinished.iterdir()]


# --- several devices --------------------------------------------------------------------------------------


PLAIN = {  # without chance in the network, and without statistics of a batch
    "task": "classification",
    "modality": "audio",
    "audio_encoder": "transformer",
    "encoders": {"audio": {"dropout": 0.0, "inner": 16}, "video": {}, "joint": {}},
    "classification": CHANCY | {"dropout": 0.0, "mixup": 0.0},
}


def together(start_of_each, count: int) -> list[str]:
    """What each of several processes said that train together."""
    processes = [start_of_each(i) for i in range(count)]
    said = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=180)
        assert process.returncode == 0, stderr
        said.append(stdout)
    return said


@pytest.mark.parametrize("nodes", [1, 2])
def test_two_processes_train_the_model_of_one(folder, data, tmp_path, nodes):
    """By gloo: two batches of 8 are one of 16. Each clip is seen once, gradients are shared, one writes.

    On one machine Lightning starts the second; on two torchrun starts one on each, and says so as here.
    """
    how = {"devices": 2 // nodes, "batch_size": 8, "augment": False, "experiment": PLAIN}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def node(number: int) -> Warm:
        if nodes == 1:
            return start(folder, tmp_path, **how)
        told = {"TORCHELASTIC_RUN_ID": "x", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": number}
        told |= {"WORLD_SIZE": 2, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
        told |= {"GROUP_RANK": number, "GROUP_WORLD_SIZE": 2}
        return start(folder, tmp_path, env={name: str(value) for name, value in told.items()}, **how)

    stdout = together(node, nodes)[0]
    assert [line.split(":")[1] for line in stdout.splitlines()] == [f" epoch {i} of 6" for i in range(1, 7)]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    run(data, tmp_path / "one", experiment=toy.experiment(**PLAIN), epochs=6, batch_size=16)
    found, wanted = (checkpoint.load(tmp_path / where) for where in ("out", "one/out"))
    for name, value in wanted.module.state_dict().items():
        assert torch.allclose(found.module.state_dict()[name], value, atol=1e-3), name
    told = [model.config["history"] for model in (found, wanted)]
    for name in ("train/loss", "val/loss", "val/accuracy"):
        one, other = ([row[name] for row in rows] for rows in told)
        assert one == pytest.approx(other, rel=1e-3), name
    losses = [row["train/loss"] for row in told[0]]
    assert losses[-1] < losses[0]


def test_a_table_trains_on_one_device(data, tmp_path):
    several = toy.PARAMS.override({"train.devices": 2})
    with pytest.raises(UserError, match="each on one device"):
        trial.run(several, data, tmp_path / "out")


# --- how it learns ------------------------------------------------------------------------------------------


def test_weights_are_averaged_over_epochs(data, tmp_path, monkeypatch):
    """Of two runs that differ in nothing else, one keeps the mean of what the other had after each epoch."""
    seen = []
    save = Record._log

    def noting(self):
        save(self)
        if self.history:
            seen.append({k: v.clone() for k, v in self.module.state_dict().items()})

    began = Record.on_fit_start
    with monkeypatch.context() as m:
        m.setattr(Record, "_log", noting)
        m.setattr(
            Record,
            "on_fit_start",
            lambda self, trainer, module: (setattr(self, "module", module), began(self, trainer, module))[1],
        )
        run(data, tmp_path / "a", epochs=4)
    run(data, tmp_path / "b", epochs=4, average=[2, 3])
    found = checkpoint.load(tmp_path / "b/out").module.state_dict()
    for name, value in found.items():
        if value.is_floating_point() and name != "calibration":
            assert torch.allclose(value, (seen[1][name] + seen[2][name]) / 2, atol=1e-6), name


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_an_average_goes_on_after_a_kill(data, tmp_path, monkeypatch, epoch):
    with monkeypatch.context() as m, pytest.raises(RuntimeError, match="broken off"):
        stop_after(m, epoch)
        run(data, tmp_path / "b", epochs=4, average=[2, 4])
    run(data, tmp_path / "b", epochs=4, average=[2, 4])
    run(data, tmp_path / "a", epochs=4, average=[2, 4])
    assert same_files(tmp_path / "a", tmp_path / "b", ["out/model.safetensors"])


def test_gradients_accumulate_to_those_of_a_larger_batch(data, tmp_path):
    """A loss that is a mean over clips: three batches of 16 are one of 48, up to rounding."""
    made = toy.experiment(**PLAIN)
    run(data, tmp_path / "a", experiment=made, epochs=2, batch_size=16, accumulate=3)
    run(data, tmp_path / "b", experiment=made, epochs=2, batch_size=48)
    a, b = (checkpoint.load(tmp_path / x / "out").module.state_dict() for x in "ab")
    assert all(torch.allclose(a[k], b[k], atol=1e-4) for k in a)
