"""The step of towers: a clip at a time on a CPU, several at a time on a GPU, as many as fit."""

import json

import numpy as np
import pytest
import torch

from models.inference import towers_step
from models.inference.towers_step import TowersStep, limit_workers
from pipeline.dataset.windows import Segments
from testing import toy

SEGMENTS = Segments(columns=10, hop_columns=5)


@pytest.fixture
def step():
    towers_step.load_towers.cache_clear()
    yield TowersStep("audio", (1, 16, 41), SEGMENTS).with_networks(toy.TOWERS["audio"])
    towers_step.load_towers.cache_clear()


@pytest.fixture(scope="module")
def sounds():
    return list(np.random.default_rng(0).normal(-40, 10, (20, 1, 16, 41)).astype(np.float16))


def compute(step: TowersStep, sounds: list[np.ndarray]) -> list[np.ndarray]:
    return [outcome.value for outcome in step([{}] * len(sounds), sounds)]


def loaded(step: TowersStep) -> towers_step.LoadedTowers:
    """Return what the step has loaded."""
    return towers_step.load_towers(
        step.side, json.dumps(toy.TOWERS["audio"]), step.clip_shape, step.segments, step.identity, "cpu"
    )


def test_a_clip_on_a_cpu_does_not_depend_on_others(step, sounds, monkeypatch):
    batches = record_batches(monkeypatch, loaded(step).module)
    together = compute(step, sounds)
    assert batches == [1] * 20
    alone = [compute(step, [sound])[0] for sound in sounds]
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))
    assert together[0].shape == step.layout.format.shape and together[0].dtype == np.float16


def test_batches_of_several_clips_are_halved_until_they_fit(step, sounds, monkeypatch, capsys):
    expected = compute(step, sounds)
    towers = loaded(step)
    towers.batch_size.size = towers_step.GPU_BATCH
    batches = record_batches(monkeypatch, towers.module, limit=4)
    values = compute(step, sounds)
    assert batches == [16, 8, 4, 4, 4, 4, 4]
    assert all(np.allclose(one, other, atol=2e-3) for one, other in zip(values, expected, strict=True))
    assert capsys.readouterr().out == ("GPU: too little memory for 16 clips at a time: continues with 4\n")


def record_batches(monkeypatch, module, limit: int = 100) -> list[int]:
    """Return a list that gets the size of each batch of a module. Larger ones than `limit` do not fit."""
    sizes: list[int] = []
    forward = module.forward

    def compute_batch(windows):
        sizes.append(len(windows))
        if len(windows) > limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(windows)

    monkeypatch.setattr(module, "forward", compute_batch)
    return sizes


def test_few_workers_share_a_gpu(monkeypatch):
    engine = toy.PARAMS.engine.model_copy(update={"name": "local", "workers": None})
    assert limit_workers(engine, "cpu") is engine
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert limit_workers(engine).workers == 2
    for changes in ({"workers": 5}, {"name": "ray"}):
        other = engine.model_copy(update=changes)
        assert limit_workers(other) is other
