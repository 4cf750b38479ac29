"""The precision of training."""

import torch

from models.training.precision import lightning_precision


def test_precision_is_the_fastest_of_the_machine(monkeypatch):
    assert lightning_precision("16-mixed") == "16-mixed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for capabilities, expected in (
        ({"avx2": True}, "32-true"),
        ({"avx2": True, "avx512_bf16": True}, "bf16-mixed"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda capabilities=capabilities: capabilities)
        assert lightning_precision("auto") == expected
