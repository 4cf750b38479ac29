"""The optimizer and its schedule, the same for every task."""

from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, SequentialLR

# Patterns of parameters that get no weight decay: vectors, though some have more than one dimension.
NO_WEIGHT_DECAY = ("modality.*", "positions.*")


def configure_adamw(module: nn.Module, settings: Any, steps: int) -> dict[str, Any]:
    """Return AdamW and the schedule of its learning rate, in the form that Lightning expects.

    Only matrices get weight decay. settings: the section `train` of params.yaml. steps: optimizer steps of
    the whole training.
    """
    groups = [
        group | {"lr": settings.learning_rate * group["lr_scale"]}
        for group in _parameter_groups(module, settings)
    ]
    optimizer = AdamW(groups, lr=settings.learning_rate, betas=tuple(settings.betas))
    scheduler = _make_schedule(optimizer, settings, steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _make_schedule(optimizer: Optimizer, settings: Any, steps: int) -> LRScheduler:
    """Make the schedule: a linear warm-up to the full learning rate, then a decay, as a cosine or in steps.

    settings: the section `train` of params.yaml. steps: optimizer steps of the whole training.
    """
    warm_up_steps = max(round(settings.warm_up * steps), 1) - 1  # steps before the full learning rate
    warm_up = LinearLR(optimizer, 1 / (warm_up_steps + 1), total_iters=warm_up_steps)
    decay: LRScheduler
    if settings.schedule == "cosine":
        decay = CosineAnnealingLR(optimizer, steps - warm_up_steps)  # ends at 0
    else:
        epochs = range(settings.step_start, settings.epochs + 1, settings.step_every)
        # `decay` counts its steps from the end of the warm-up.
        milestones = [epoch * steps // settings.epochs - warm_up_steps for epoch in epochs]
        decay = MultiStepLR(optimizer, milestones, settings.step_factor)
    return SequentialLR(optimizer, [warm_up, decay], [warm_up_steps])


def _parameter_groups(module: nn.Module, settings: Any) -> list[dict[str, Any]]:
    """Group the parameters by `weight_decay`, and by `lr_scale`, the factor of their learning rate.

    The factor of the last layers (`module.head`, if any) is `settings.head_factor`. In an encoder it is
    `settings.layer_decay` to the power of the number of layers (or blocks) between a weight and the output.
    It is 1 for all other parameters, and for encoders that do not list their blocks.
    """
    groups: list[dict[str, Any]] = []
    encoder_ids: set[int] = set()  # identities of parameters: tensors cannot be compared by ==
    if encoder := getattr(module, "encoder", None):
        from timm.optim import param_groups_layer_decay  # slow: only for encoders of both modalities

        groups = param_groups_layer_decay(
            encoder, settings.weight_decay, NO_WEIGHT_DECAY, layer_decay=settings.layer_decay
        )
        encoder_ids = {id(p) for p in encoder.parameters()}
    scales = _block_scales(module, settings.layer_decay)
    if head := getattr(module, "head", None):
        scales |= {id(p): settings.head_factor for p in head.parameters()}
    rest = [p for p in module.parameters() if p.requires_grad and id(p) not in encoder_ids]
    for lr_scale in dict.fromkeys([1.0, *scales.values()]):
        for weight_decay, is_matrix in ((settings.weight_decay, True), (0.0, False)):
            group = [p for p in rest if scales.get(id(p), 1.0) == lr_scale and (p.ndim > 1) == is_matrix]
            if group:
                groups.append({"params": group, "weight_decay": weight_decay, "lr_scale": lr_scale})
    return groups


def _block_scales(module: nn.Module, layer_decay: float) -> dict[int, float]:
    """Return the factor of the learning rate of each parameter in a block: its identity -> the factor.

    The last group of an encoder's `layer_groups` is the layer after the network. It keeps the full learning
    rate, and each group before it has `layer_decay` times that of the next one.
    """
    scales: dict[int, float] = {}
    if layer_decay == 1:
        return scales
    for path in getattr(module, "encoder_paths", {}).values():
        encoder = module.get_submodule(path)
        if not hasattr(encoder, "layer_groups"):
            continue
        parameters = dict(encoder.named_parameters(remove_duplicate=False))
        for depth, names in enumerate(reversed(encoder.layer_groups())):
            scales |= {id(parameters[name]): layer_decay**depth for name in names}
    return scales
