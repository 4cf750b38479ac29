"""The optimizer and its schedule, the same for every task."""

from typing import Any

from timm.optim import param_groups_layer_decay
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, SequentialLR

NO_WEIGHT_DECAY = ("modality.*", "positions.*")  # vectors, though some have more than one dimension


def configure_adamw(module: nn.Module, settings: Any, steps: int) -> dict[str, Any]:
    """Return AdamW, with weight decay on matrices only, and its schedule, as Lightning expects them.

    settings: the section `train`. steps: optimizer steps of the whole training.
    """
    groups = [g | {"lr": settings.learning_rate * g["lr_scale"]} for g in _parameter_groups(module, settings)]
    optimizer = AdamW(groups, lr=settings.learning_rate, betas=tuple(settings.betas))
    scheduler = _schedule(optimizer, settings, steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _schedule(optimizer: Optimizer, settings: Any, steps: int) -> LRScheduler:
    """A linear warm-up to the full learning rate, then a cosine to 0 or a fall in steps."""
    warm_up = max(round(settings.warm_up * steps), 1) - 1  # steps before the full learning rate
    rise = LinearLR(optimizer, 1 / (warm_up + 1), total_iters=warm_up)
    fall: LRScheduler
    if settings.schedule == "cosine":
        fall = CosineAnnealingLR(optimizer, steps - warm_up)
    else:
        epochs = range(settings.step_start, settings.epochs + 1, settings.step_every)
        milestones = [epoch * steps // settings.epochs - warm_up for epoch in epochs]
        fall = MultiStepLR(optimizer, milestones, settings.step_factor)
    return SequentialLR(optimizer, [rise, fall], [warm_up])


def _parameter_groups(module: nn.Module, settings: Any) -> list[dict[str, Any]]:
    """Group parameters by weight decay and by `lr_scale`, the factor of their learning rate.

    The factor is `head_factor` for the last layers (`module.head`). In an encoder of both modalities
    (`module.encoder`) it is `layer_decay` once for each layer between a weight and the output.
    """
    groups: list[dict[str, Any]] = []
    encoder_ids: set[int] = set()
    if encoder := getattr(module, "encoder", None):
        groups = param_groups_layer_decay(
            encoder, settings.weight_decay, NO_WEIGHT_DECAY, layer_decay=settings.layer_decay
        )
        encoder_ids = {id(p) for p in encoder.parameters()}
    head_factor = settings.head_factor if hasattr(module, "head") else 1.0
    head_ids: set[int] = set()
    if head_factor != 1:
        head_ids = {id(p) for p in module.head.parameters()}
    rest = [p for p in module.parameters() if p.requires_grad and id(p) not in encoder_ids]
    for scale, in_head in ((1.0, False), (head_factor, True)):
        for decay, is_matrix in ((settings.weight_decay, True), (0.0, False)):
            group = [p for p in rest if (id(p) in head_ids) == in_head and (p.ndim > 1) == is_matrix]
            if group:
                groups.append({"params": group, "weight_decay": decay, "lr_scale": scale})
    return groups
