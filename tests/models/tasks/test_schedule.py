"""Schedules of the learning rate, against their formulas."""

import math
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.tasks._schedule import configure_adamw
from testing import toy

KINDS = ("weight", "bias")


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


class Encoder(torch.nn.Module):
    """A stem, two blocks and a projection; `scale` is in no group."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second, self.project = (torch.nn.Linear(2, 2) for _ in range(4))
        self.scale = torch.nn.Parameter(torch.ones(2))

    def layer_groups(self) -> list[list[str]]:
        names = ("stem", "first", "second", "project")
        return [[f"{name}.weight", f"{name}.bias"] for name in names]


class Network(torch.nn.Module):
    """Sound with blocks, pictures without, and a head."""

    encoder_paths: ClassVar = {"audio": "fusion.audio", "video": "fusion.video"}

    def __init__(self, video: torch.nn.Module) -> None:
        super().__init__()
        self.fusion = torch.nn.ModuleDict({"audio": Encoder(), "video": video})
        self.head = torch.nn.Linear(2, 2)


def rates_by_name(network: torch.nn.Module, **changes) -> dict[str, float]:
    """Return the learning rate of each weight at the first step, without a warm-up."""
    settings = toy.settings(learning_rate=1.0, warm_up=0.0, weight_decay=0.1, **changes)
    groups = configure_adamw(network, settings, 10)["optimizer"].param_groups
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates)  # each weight once
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)][1] == (0.1 if parameter.ndim > 1 else 0.0), name
    return {name: rates[id(p)][0] for name, p in network.named_parameters() if id(p) in rates}


def test_learning_rates_fall_from_block_to_block():
    network = Network(torch.nn.Linear(2, 2))
    rates = rates_by_name(network, layer_decay=0.5, head_factor=10.0)
    assert rates == {
        "fusion.audio.scale": 1.0,
        **{f"fusion.audio.stem.{kind}": 0.125 for kind in KINDS},
        **{f"fusion.audio.first.{kind}": 0.25 for kind in KINDS},
        **{f"fusion.audio.second.{kind}": 0.5 for kind in KINDS},
        **{f"fusion.audio.project.{kind}": 1.0 for kind in KINDS},
        **{f"fusion.video.{kind}": 1.0 for kind in KINDS},
        **{f"head.{kind}": 10.0 for kind in KINDS},
    }
    assert set(rates_by_name(network).values()) == {1.0}


def test_each_encoder_has_its_own_blocks_and_frozen_weights_have_no_rate():
    network = Network(Encoder())
    network.fusion["audio"].stem.requires_grad_(False)
    rates = rates_by_name(network, layer_decay=0.5)
    assert not any("audio.stem" in name for name in rates)
    for side in ("audio", "video"):
        assert rates[f"fusion.{side}.first.weight"] == 0.25 and rates[f"fusion.{side}.project.bias"] == 1.0
    assert rates["fusion.video.stem.weight"] == 0.125


def test_a_learning_rate_by_depth_falls_with_the_schedule():
    settings = toy.settings(layer_decay=0.5, learning_rate=1.0, warm_up=0.5)
    training = configure_adamw(Network(Encoder()), settings, 8)
    optimizer, scheduler = training["optimizer"], training["lr_scheduler"]["scheduler"]
    for step in range(8):
        full = formula(settings, 8, step)
        for group in optimizer.param_groups:
            assert group["lr"] == pytest.approx(full * group["lr_scale"]), step
        optimizer.step()
        scheduler.step()
