"""The optimizer and its schedule, the same for every task."""

import math
from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import nn

LEARNED = ("modality.*", "positions.*")  # no matrices, whatever their shape


def adamw(module: nn.Module, settings: Any, steps: int) -> dict[str, Any]:
    """AdamW, weight decay on matrices only; what a LightningModule's configure_optimizers returns.

    settings: the section `train`. steps: of the whole training. After the warm-up the rate falls along a
    cosine to 0, or in steps.
    """
    groups = [g | {"lr": settings.learning_rate * g["lr_scale"]} for g in _groups(module, settings)]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=tuple(settings.betas))
    warm = max(round(settings.warm_up * steps), 1)

    def rate(step: int) -> float:
        rise = (step + 1) / warm
        if rise < 1:
            return rise
        if settings.schedule == "cosine":
            return (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1))) / 2
        late = step * settings.epochs // steps - settings.step_start  # epochs since the first fall
        return settings.step_factor ** (late // settings.step_every + 1) if late >= 0 else 1.0

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _groups(module: nn.Module, settings: Any) -> list[dict[str, Any]]:
    """Parameters by weight decay and by what the learning rate is multiplied with, `lr_scale`.

    That is `head_factor` for the last layers (`module.head`), and in an encoder of both modalities
    (`module.encoder`) `layer_decay` once for each layer between a weight and the output.
    """
    found: list[dict[str, Any]] = []
    deep: set[int] = set()
    if encoder := getattr(module, "encoder", None):
        found = param_groups_layer_decay(
            encoder, settings.weight_decay, LEARNED, layer_decay=settings.layer_decay
        )
        deep = {id(p) for p in encoder.parameters()}
    faster = settings.head_factor if hasattr(module, "head") else 1.0
    head: set[int] = set()
    if faster != 1:
        head = {id(p) for p in module.head.parameters()}
    rest = [p for p in module.parameters() if p.requires_grad and id(p) not in deep]
    for scale, inside in ((1.0, False), (faster, True)):
        for decay, matrices in ((settings.weight_decay, True), (0.0, False)):
            some = [p for p in rest if (id(p) in head) == inside and (p.ndim > 1) == matrices]
            if some:
                found.append({"params": some, "weight_decay": decay, "lr_scale": scale})
    return found
