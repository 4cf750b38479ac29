"""A training that starts from a trained model: it begins with those of its weights that fit."""

import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from models.training import cached, loop
from pipeline.errors import UserError
from testing import toy
from testing.toy import train
from testing.training import same_files, stop_after

SMALL = toy.experiment().encoders  # the sizes of the encoders of the other models here


def read_weights(folder) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "out/model.safetensors")


def read_initial(monkeypatch, data, folder, setup=None, **changes) -> dict[str, torch.Tensor]:
    """Return the weights that a training begins with. It ends before its first step."""
    initial = {}

    def stop(training, *_):
        initial.update({name: value.clone() for name, value in training.module.state_dict().items()})
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="stopped"):
        patch.setattr(loop, "_fit", stop)
        train(data, folder, setup, **changes)
    return initial


def error_of(data, folder, setup=None, **changes) -> str:
    """Return the error message of a training, which must be one line."""
    with pytest.raises(UserError) as e:
        train(data, folder, setup, epochs=1, **changes)
    assert len(str(e.value).splitlines()) == 1
    return str(e.value)


@pytest.fixture(scope="module")
def bells(data, tmp_path_factory):
    """Train a model with a matcher that has weights. The seed is not the one of the other trainings."""
    folder = tmp_path_factory.mktemp("bells")
    train(data, folder, toy.experiment(seed=5), epochs=2)
    return folder


# --- what is taken --------------------------------------------------------------------------------------


def test_a_training_begins_with_the_weights_of_the_model(data, bells, tmp_path, monkeypatch, capsys):
    start = str(bells / "out")
    expected, initial = read_weights(bells), read_initial(monkeypatch, data, tmp_path, start=start)
    names = [name for name in expected if name != "calibration" and not name.endswith("batches_tracked")]
    assert all(torch.equal(initial[name], expected[name]) for name in names)
    assert initial["calibration"].tolist() == [1, 0]  # each training calibrates its own scores
    random = read_initial(monkeypatch, data, tmp_path)
    assert not all(torch.equal(initial[name], random[name]) for name in names)
    audio, video, matcher = (
        sum(n.startswith(f"{part}.") for n in names) for part in ("audio", "video", "matcher")
    )
    assert capsys.readouterr().out == (
        f"train: starts from {start}: audio encoder {audio} of {audio} weights,"
        f" video encoder {video} of {video}, matcher {matcher} of {matcher}, loss 1 of 1\n"
    )


def test_a_classifier_takes_both_encoders(data, bells, tmp_path, monkeypatch, capsys):
    expected = read_weights(bells)
    names = [n for n in expected if n.startswith(("audio.", "video.")) and not n.endswith("batches_tracked")]
    options = {"start": str(bells / "out")}
    initial = read_initial(monkeypatch, data, tmp_path, toy.experiment(task="classification"), **options)
    assert all(torch.equal(initial[f"fusion.{name}"], expected[name]) for name in names)
    assert capsys.readouterr().out.endswith(", head 0 of 4; not used: matcher 2, loss 1\n")
    alone = toy.experiment(task="classification", modality="audio")
    initial = read_initial(monkeypatch, data, tmp_path, alone, **options)
    assert torch.equal(initial["fusion.audio.project.weight"], expected["audio.project.weight"])
    line = capsys.readouterr().out
    assert (
        line.startswith(f"train: starts from {bells / 'out'}: audio encoder ") and "not used: video" in line
    )


def test_encoders_alone(data, bells, tmp_path, monkeypatch, capsys):
    options = {"start": str(bells / "out"), "start_weights": "encoders"}
    initial, expected = read_initial(monkeypatch, data, tmp_path, **options), read_weights(bells)
    assert torch.equal(initial["audio.project.weight"], expected["audio.project.weight"])
    assert not torch.equal(initial["matcher.linear.weight"], expected["matcher.linear.weight"])
    assert capsys.readouterr().out.endswith("; not used: matcher 2, loss 1\n")


def test_a_head_is_taken_for_the_same_classes(data, tmp_path, monkeypatch, capsys):
    classifier = toy.experiment(task="classification")
    train(data, tmp_path, classifier, epochs=1)
    options = {"start": str(tmp_path / "out")}
    initial = read_initial(monkeypatch, data, tmp_path / "a", classifier, **options)
    assert torch.equal(initial["head.3.weight"], read_weights(tmp_path)["head.3.weight"])
    assert capsys.readouterr().out.endswith("head 4 of 4\n")
    others = replace(
        data, columns=data.columns | {"subject": [f"p{i % toy.KINDS}" for i in range(len(data))]}
    )
    read_initial(monkeypatch, others, tmp_path / "a", replace(classifier, label="subject"), **options)
    assert capsys.readouterr().out.endswith("head 0 of 4 (other classes); not used: head 4\n")


def test_what_has_another_shape_stays_random(data, bells, tmp_path, monkeypatch, capsys):
    options = {"start": str(bells / "out"), "embedding_dim": 8}
    initial = read_initial(monkeypatch, data, tmp_path, **options)
    random = read_initial(monkeypatch, data, tmp_path, embedding_dim=8)
    assert torch.equal(initial["audio.project.weight"], random["audio.project.weight"])
    line = capsys.readouterr().out
    total = sum(n.startswith("audio.") and not n.endswith("batches_tracked") for n in random)
    assert (
        f": audio encoder {total - 2} of {total} weights, " in line and "; not used: audio encoder 2" in line
    )


# --- what does not fit ----------------------------------------------------------------------------------


def test_other_encoders_are_one_line(data, bells, tmp_path, monkeypatch, capsys):
    start = str(bells / "out")
    message = error_of(
        data, tmp_path, toy.experiment(audio_encoder="lstm", video_encoder="frame"), start=start
    )
    assert message.startswith(
        f"train.start: {start}: no weight of its encoders fits: it has audio_encoder: cnn_small"
    )
    assert message.endswith("and not audio_encoder: lstm and video_encoder: frame")
    one_other = toy.experiment(video_encoder="frame")
    read_initial(monkeypatch, data, tmp_path, one_other, start=start)
    assert "video encoder 0 of " in (line := capsys.readouterr().out) and "(cnn there, frame here)" in line


def test_other_features_are_one_line(data, bells, tmp_path, monkeypatch):
    start = str(bells / "out")
    audio = toy.INPUTS["audio"]
    monkeypatch.setitem(toy.INPUTS, "audio", audio | {"feature": "stft", "hop_length": 80})
    message = error_of(data, tmp_path, start=start)
    expected = f"audio.feature mel, not stft, audio.hop_length {audio['hop_length']}, not 80"
    assert message.endswith(f"was trained with {expected}")
    only_video = replace(
        toy.experiment(audio_encoder="lstm"), video_encoder="cnn", encoders=SMALL | {"audio": {}}
    )
    train(data, tmp_path, only_video, epochs=1, start=start)  # the encoder of pictures does not hear them


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}'])
def test_a_damaged_model_is_one_line(data, bells, tmp_path, text):
    (tmp_path / "model.safetensors").write_bytes((bells / "out/model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(text)
    assert error_of(data, tmp_path / "new", start=str(tmp_path)).startswith(f"train.start: {tmp_path}: ")


# --- the whole training ---------------------------------------------------------------------------------


def test_an_interrupted_training_ends_in_the_same_weights(data, bells, tmp_path, monkeypatch, capsys):
    options = {"start": str(bells / "out"), "epochs": 3, "augmentation": toy.AUGMENT}
    train(data, tmp_path / "whole", **options)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="broken off"):
        stop_after(patch, 2)
        train(data, tmp_path / "stopped", **options)
    capsys.readouterr()
    train(data, tmp_path / "stopped", **options)
    assert capsys.readouterr().out.startswith("train: resuming after epoch 2 of 3\n")
    assert same_files(tmp_path / "whole", tmp_path / "stopped", ["out/model.safetensors", "live/epochs.csv"])


def test_only_the_weights_of_the_start_count(data, bells, tmp_path, monkeypatch):
    """Other weights at the same place are another training. The same weights at another place are not."""
    out, copy = tmp_path / "out", tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "model.safetensors"):
        (copy / name).write_bytes((bells / "out" / name).read_bytes())
    sizes = {"audio": {"cnn_small": SMALL["audio"]}, "video": {"cnn": SMALL["video"]}, "joint": {}}
    settings = {"train.epochs": 1, "train.embedding_dim": 16, "video_encoder": "cnn", "encoders": sizes}
    params = toy.PARAMS.override(settings | {"train.start": str(bells / "out")})
    inputs = json.loads((bells / "out/config.json").read_text())["inputs"]
    monkeypatch.setattr(cached, "select_input_params", lambda _: inputs)
    model = cached.train_cached(params, data, out)
    assert model.config["train"]["start"] == str(bells / "out")
    trainings = []
    monkeypatch.setattr(cached, "train", lambda *_, **options: trainings.append(options["start"].name))
    elsewhere = params.override({"train.start": str(copy)})
    cached.train_cached(elsewhere, data, out)
    assert trainings == []
    weights = safetensors.torch.load_file(copy / "model.safetensors")
    weights["matcher.linear.weight"] += 1
    safetensors.torch.save_file(weights, copy / "model.safetensors")
    cached.train_cached(elsewhere, data, out)
    assert trainings == [str(copy)]
    for place, part in ((out, "the training replaces this model"), (tmp_path / "none", "neither a folder")):
        with pytest.raises(UserError, match=part) as e:
            cached.train_cached(params.override({"train.start": str(place)}), data, out)
        assert str(e.value).startswith(f"train.start: {place}: ") and len(str(e.value).splitlines()) == 1


def test_a_frozen_network_does_not_move(data, tmp_path, monkeypatch):
    """Neither its parameters nor the statistics of its batch norms, through a whole training."""
    setup = toy.experiment(
        video_encoder="timm/test_resnet", encoders=SMALL | {"video": {"trainable": "none"}}
    )
    initial = read_initial(monkeypatch, data, tmp_path, setup)
    train(data, tmp_path, setup, epochs=2)
    trained = read_weights(tmp_path)
    names = [name for name in trained if name.startswith("video.trunk.")]
    assert any("running_mean" in name for name in names)
    assert all(torch.equal(initial[name], trained[name]) for name in names)
    assert not torch.equal(initial["video.project.weight"], trained["video.project.weight"])


# --- settings that need blocks --------------------------------------------------------------------------


@pytest.mark.parametrize("setting", [{"layer_decay": 0.5}, {"gradient_checkpointing": True}])
def test_encoders_without_blocks_are_one_line(data, tmp_path, setting):
    message = error_of(data, tmp_path, **setting)
    assert message.startswith(f"train.{next(iter(setting))} does not go with audio_encoder: cnn_small")
    assert "use encoder: cav_mae, or an encoder of a library" in message


def test_blocks_of_a_library_learn_by_depth_and_checkpointed(data, tmp_path, monkeypatch):
    """The first block moves less than the last. Gradient checkpointing ends in the same weights."""
    setup = toy.experiment(video_encoder="timm/test_vit", encoders=SMALL | {"video": {}})
    initial = read_initial(monkeypatch, data, tmp_path, setup)
    options = {"epochs": 1, "weight_decay": 0.0, "layer_decay": 0.1}
    train(data, tmp_path / "a", setup, **options)
    train(data, tmp_path / "b", setup, **options, gradient_checkpointing=True)
    trained, checkpointed = read_weights(tmp_path / "a"), read_weights(tmp_path / "b")
    for name, value in trained.items():
        assert torch.allclose(value, checkpointed[name], atol=1e-4), name

    def mean_change(part: str) -> float:
        names = [name for name in trained if part in name and trained[name].ndim == 2]
        return max((trained[name] - initial[name]).abs().mean().item() for name in names)

    first, last, project = (
        mean_change(f"video.{part}.") for part in ("trunk.net.blocks.0", "trunk.net.blocks.5", "project")
    )
    assert first < last / 100 and last < project / 2
