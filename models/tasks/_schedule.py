"""The optimizer and its schedule, the same for every task."""

import math
from typing import Any

import torch
from torch import nn

WARM_UP = 0.1  # part of all steps over which the learning rate rises


def adamw(module: nn.Module, learning_rate: float, weight_decay: float, steps: int) -> dict[str, Any]:
    """AdamW, weight decay on matrices only; the rate rises, then falls along a cosine to 0."""
    groups = [
        {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in module.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    warm = max(round(WARM_UP * steps), 1)

    def rate(step: int) -> float:
        rise = (step + 1) / warm
        return rise if rise < 1 else (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1))) / 2

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
