"""Schedules of the learning rate, against their formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.tasks._schedule import configure_adamw
from testing import toy


def rates(settings, steps: int) -> list[float]:
    """The learning rate of each step of a training."""
    training = configure_adamw(torch.nn.Linear(2, 2), settings, steps)
    optimizer, scheduler = training["optimizer"], training["lr_scheduler"]["scheduler"]
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def formula(settings, steps: int, step: int) -> float:
    warm_up = max(round(settings.warm_up * steps), 1)
    if step + 1 < warm_up:
        return (step + 1) / warm_up
    if settings.schedule == "cosine":
        return (1 + math.cos(math.pi * (step - warm_up + 1) / (steps - warm_up + 1))) / 2
    epochs = step * settings.epochs // steps - settings.step_start  # since the first fall
    return settings.step_factor ** (epochs // settings.step_every + 1) if epochs >= 0 else 1.0


def test_schedules_by_hand():
    changes = {"schedule": "step", "warm_up": 0.1, "epochs": 20, "learning_rate": 1.0}
    stepwise = rates(toy.settings(**changes, step_start=10, step_every=5, step_factor=0.5), 200)
    assert [stepwise[i] for i in (0, 9, 19)] == pytest.approx([0.05, 0.5, 1.0])  # ten steps an epoch
    assert [stepwise[i] for i in (99, 100, 149, 150, 199)] == [1.0, 0.5, 0.5, 0.25, 0.25]
    cosine = rates(toy.settings(epochs=20, learning_rate=1.0), 200)
    assert cosine[19] == pytest.approx(1, abs=1e-3) and cosine[199] < 1e-3


@given(
    schedule=st.sampled_from(["cosine", "step"]),
    warm_up=st.sampled_from([0.0, 0.05, 0.5, 0.99]),
    epochs=st.integers(1, 12),
    steps_per_epoch=st.integers(1, 9),
    step_start=st.integers(1, 12),
    step_every=st.integers(1, 5),
)
def test_schedules_follow_their_formulas(steps_per_epoch, **changes):
    settings = toy.settings(**changes, learning_rate=1.0, step_factor=0.5)
    steps = settings.epochs * steps_per_epoch
    expected = [formula(settings, steps, step) for step in range(steps)]
    assert rates(settings, steps) == pytest.approx(expected, rel=1e-9)
