"""A killed training continues to the same files, byte for byte."""

import os
import re
import signal
import time
from contextlib import suppress

import pytest

from testing.toy import train
from testing.training import EXPERIMENTS, list_files, same_files, start_training, stop_after


def wait_for(process, text):
    """Read the output until a line contains `text`."""
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.communicate()}")


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Train without interruption."""
    out = tmp_path_factory.mktemp("whole")
    process = start_training(folder, out, "bf16-mixed")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert stderr == ""  # no messages of libraries
    assert stdout.splitlines()[0].startswith("train: epoch 1 of 6: train loss ")
    assert len(stdout.splitlines()) == 6
    return out


def test_killed_and_run_again_is_the_same_bit_for_bit(folder, whole, tmp_path):
    process = start_training(folder, tmp_path, "bf16-mixed")
    wait_for(process, "epoch 3 of")
    time.sleep(0.05)  # somewhere in the next epoch
    process.kill()
    process.communicate()
    assert (tmp_path / "resume/train-same.ckpt").exists()
    process = start_training(folder, tmp_path, "bf16-mixed")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "resuming after epoch" in stdout
    assert list_files(tmp_path) == list_files(whole)
    assert same_files(whole, tmp_path, list_files(whole))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_quick_and_saves_the_last_epoch(folder, whole, tmp_path, signum):
    """Also if no later epoch would be saved otherwise, as the first save took long."""
    process = start_training(folder, tmp_path, "bf16-mixed", slow_saving=True)
    wait_for(process, "epoch 3 of")
    start_time = time.monotonic()
    for _ in range(2):  # the second one must not interrupt saving
        with suppress(ProcessLookupError):
            os.kill(process.pid, signum)
        time.sleep(0.002)  # longer, and saving is done: then the second one ends the process
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 1 and stderr == "interrupted\n"
    assert time.monotonic() - start_time < 10
    printed_epochs = sum("train: epoch" in line for line in stdout.splitlines())
    stdout, _ = start_training(folder, tmp_path, "bf16-mixed").communicate(timeout=120)
    assert int(re.search(r"resuming after epoch (\d) of 6", stdout)[1]) >= printed_epochs >= 3
    assert same_files(whole, tmp_path, list_files(whole))


# The last of three epochs: what is left is common to all tasks.
@pytest.mark.parametrize(("name", "epoch"), [*((name, 1) for name in EXPERIMENTS), ("matching", 3)])
def test_an_unfinished_training_resumes(data, tmp_path, monkeypatch, capsys, epoch, name):
    with monkeypatch.context() as m, pytest.raises(RuntimeError, match="broken off"):
        stop_after(m, epoch)
        train(data, tmp_path / "b", EXPERIMENTS[name])
    summary = train(data, tmp_path / "b", EXPERIMENTS[name])
    assert f"resuming after epoch {epoch} of 3" in capsys.readouterr().out
    assert summary == train(data, tmp_path / "a", EXPERIMENTS[name])
    assert same_files(tmp_path / "a", tmp_path / "b", list_files(tmp_path / "a"))


def test_each_training_has_its_own_checkpoint(data, tmp_path, resume_folder, monkeypatch, capsys):
    with monkeypatch.context() as m, pytest.raises(RuntimeError, match="broken off"):
        stop_after(m, 2)
        train(data, tmp_path)
    train(data, tmp_path, fingerprint="y", epochs=1)
    assert "resuming" not in capsys.readouterr().out
    assert [p.name for p in resume_folder.iterdir()] == ["train-x.ckpt"]
    train(data, tmp_path)
    assert "resuming after epoch 2 of 3" in capsys.readouterr().out
    assert not [*resume_folder.iterdir()]


@pytest.mark.parametrize("content", [b"torn", b""])
def test_a_torn_checkpoint_is_not_used(data, tmp_path, resume_folder, capsys, content):
    resume_folder.mkdir()
    (resume_folder / "train-x.ckpt").write_bytes(content)
    assert train(data, tmp_path, epochs=1)["epochs"] == 1
    assert "cannot be used" in capsys.readouterr().out
    assert not [*resume_folder.iterdir()]


def test_an_average_resumes(data, tmp_path, monkeypatch):
    options = {"epochs": 4, "average": [2, 4]}
    train(data, tmp_path / "whole", **options)
    for epoch in (1, 3, 4):
        folder = tmp_path / f"{epoch}"
        with monkeypatch.context() as m, pytest.raises(RuntimeError, match="broken off"):
            stop_after(m, epoch)
            train(data, folder, **options)
        train(data, folder, **options)
        assert same_files(tmp_path / "whole", folder, ["out/model.safetensors"])


def test_early_stopping_and_clipping_resume(data, tmp_path, monkeypatch):
    options = {"epochs": 30, "patience": 2, "gradient_clip": 0.5, "learning_rate": 2e-2}
    whole = train(data, tmp_path / "whole", **options)
    stop = whole["epochs"]
    assert stop == whole["best_epoch"] + 2 < 30
    for epoch in (stop - 1, stop):
        folder = tmp_path / f"{epoch}"
        with monkeypatch.context() as m, pytest.raises(RuntimeError, match="broken off"):
            stop_after(m, epoch)
            train(data, folder, **options)
        assert train(data, folder, **options) == whole
        assert same_files(tmp_path / "whole", folder, ["out/model.safetensors"])
    train(data, tmp_path / "unlimited", **options | {"gradient_clip": None})
    assert not same_files(tmp_path / "whole", tmp_path / "unlimited", ["out/model.safetensors"])
