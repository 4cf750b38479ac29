"""What networks of other libraries have in common: which of their weights are trained, and their blocks."""

import re
from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from pipeline.errors import UserError

# What is trained: nothing; everything; low-rank additions; or the last n blocks and what follows them.
Trainable = Literal["none", "all", "lora"] | PositiveInt
LORA_SCALE = 2  # the output of an addition is multiplied by it: lora_alpha / r of peft
UNMATCHED = "\0"  # the name of no parameter: timm puts it into the group of what follows the last block


class Network(nn.Module):
    """A network of another library, `net`, of which all weights, some or none are trained.

    A subclass sets `net` and calls `restrict_training` at the end of its `__init__`.

    name: `timm/...`, `torchvision/...` or `hf/...`, for messages.
    """

    net: nn.Module
    # Beginnings of names of parameters that count as before the first block, and of those never trained.
    first_parameters: tuple[str, ...] = ()
    frozen_parameters: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def restrict_training(
        self, trainable: Trainable, lora_rank: int, run: Callable[[nn.Module], Any]
    ) -> None:
        """Choose which weights are trained.

        trainable: see `Trainable`. lora_rank: the rank of each addition. run: computes an output of the
        network that it gets, to find out which layers are used; called only for `lora`.
        Raises UserError if the network has fewer blocks, or no layers for low-rank additions.
        """
        self.net.requires_grad_(trainable == "all")
        if trainable == "lora":
            self._add_lora(lora_rank, run)
        elif isinstance(trainable, int):
            _, *blocks = self.group_parameters()
            if trainable > len(blocks):
                raise UserError(f"trainable: {trainable}: {self.name} has {len(blocks)} blocks: use all")
            for name in (name for block in blocks[-trainable:] for name in block):
                self.net.get_parameter(name).requires_grad_(True)
        for name, parameter in self.net.named_parameters():
            if name.startswith(self.frozen_parameters):
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> "Network":
        """Set the training mode. What is frozen stays in evaluation mode: its batch norms do not change."""
        super().train(mode)
        if mode:
            for module in self.net.modules():
                parameters = list(module.parameters())
                if parameters and not any(p.requires_grad for p in parameters):
                    module.eval()
        return self

    def group_parameters(self) -> list[list[str]]:
        """Return the names of the parameters of `net` from input to output: a list for each block.

        The first list is what comes before the first block, and may be empty. The last one ends with what
        follows the last block.
        """
        names = [name for name, _ in self.net.named_parameters()]
        if hasattr(self.net, "group_matcher"):  # timm
            return _group_by_timm(names, self.net.group_matcher(coarse=False))
        first = [name for name in names if name.startswith(self.first_parameters)]
        return _group_by_numbers(self.net, names, first)

    def set_gradient_checkpointing(self, on: bool) -> None:
        """Compute the activations of blocks again in the backward pass instead of storing them, or not.

        Raises UserError if the network has no switch for it.
        """
        if hasattr(self.net, "set_grad_checkpointing"):  # timm
            try:
                self.net.set_grad_checkpointing(on)
                return
            except AssertionError:  # networks of timm without it
                pass
        for module in self.net.modules():
            if getattr(module, "supports_gradient_checkpointing", False):  # transformers
                if on:
                    module.activation_checkpointing_enable({"use_reentrant": False})
                else:
                    module.activation_checkpointing_disable()
                return
        if on:
            raise UserError(f"gradient checkpointing: {self.name} has no switch for it: switch it off")

    def _add_lora(self, rank: int, run: Callable[[nn.Module], Any]) -> None:
        """Add a product of two trained matrices of this rank to each linear layer of the blocks.

        Source: LoRA (arXiv 2106.09685). Raises UserError if peft is not installed, or if there are no such
        layers.
        """
        try:
            import peft
        except ImportError:
            raise UserError("trainable: lora: peft is not installed: uv pip install peft") from None
        layers = _find_called_layers(self.net, nn.Linear, run)
        if not layers:
            raise UserError(f"trainable: lora: {self.name} has no linear layers for it: use a number or all")
        config = peft.LoraConfig(r=rank, lora_alpha=LORA_SCALE * rank, target_modules=layers)
        peft.inject_adapter_in_model(config, self.net)
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_("lora_" in name)


class NetworkEncoder(nn.Module):
    """An encoder of one modality: a network of another library, then a linear layer.

    A subclass defines `compute_features` and calls this `__init__` at the end of its own.

    trunk: the network. n_features: length of its vectors. dim: size of an embedding.
    """

    def __init__(self, trunk: Network, n_features: int, dim: int, definition: dict[str, Any] | None) -> None:
        super().__init__()
        self.trunk = trunk
        self.n_features = n_features
        # What the network's own files say about it, as JSON can hold it. With this keyword, and without
        # `pretrained`, the same network is built again where those files are missing.
        self.definition = definition
        self.project = nn.Linear(n_features, dim)

    def compute_features(self, x: Tensor) -> Tensor:
        """Map windows to the network's vectors (batch, n_features)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Map windows to embeddings (batch, dim)."""
        return self.project(self.compute_features(x))

    def layer_groups(self) -> list[list[str]]:
        """Return the names of all parameters from input to output: a list for each block.

        The first list is what comes before the first block of the network, if there is anything; the last one
        is the layer after the network. For learning rates that differ by depth.
        """
        groups = [[f"trunk.net.{name}" for name in group] for group in self.trunk.group_parameters()]
        head = [f"project.{name}" for name, _ in self.project.named_parameters()]
        return [group for group in [*groups, head] if group]

    def set_gradient_checkpointing(self, on: bool) -> None:
        """Switch gradient checkpointing of the network. Raises UserError if it has no switch for it."""
        self.trunk.set_gradient_checkpointing(on)


def _group_by_timm(names: list[str], matcher: Any) -> list[list[str]]:
    """Group names of parameters as timm does. matcher: of the network."""
    from timm.models._manipulate import group_with_matcher  # slow

    groups = list(group_with_matcher([(name, None) for name in [*names, UNMATCHED]], matcher).values())
    if UNMATCHED in groups[-1] and len(groups) > 1:
        what_follows = groups.pop()
        groups[-1] += what_follows
    return [[name for name in group if name != UNMATCHED] for group in groups]


def _group_by_numbers(net: nn.Module, names: list[str], first: list[str]) -> list[list[str]]:
    """Group names of parameters in their order: a block is a module with modules inside and a number.

    Examples are `layers.0` and `encoder_layer_0`. Networks without such modules (VGG) are grouped by numbered
    layers. first: names that belong before the first block.
    """
    blocks = [_block_of(net, name, has_children=True) for name in names]
    if not any(blocks):
        blocks = [_block_of(net, name, has_children=False) for name in names]
    groups: dict[str, list[str]] = {"": list(first)}
    last = ""
    for name, block in zip(names, blocks, strict=True):
        if name in first:
            continue
        last = block or last  # what is in no block belongs to the block before it
        groups.setdefault(last, []).append(name)
    return list(groups.values())


def _block_of(net: nn.Module, name: str, has_children: bool) -> str:
    """Return the path of the block of a parameter; empty if it is in none. has_children: modules in it."""
    parts = name.split(".")[:-1]
    for depth, part in enumerate(parts, 1):
        path = ".".join(parts[:depth])
        module = net.get_submodule(path)
        is_layer = hasattr(module, "base_layer") or not any(module.children())  # peft has layers in layers
        if re.search(r"\d", part) and not (has_children and is_layer):
            return path
    return ""


@torch.no_grad()
def _find_called_layers(
    net: nn.Module, layer_type: type[nn.Module], run: Callable[[nn.Module], Any]
) -> list[str]:
    """Return the paths of the layers of a type that the network calls.

    Some networks use the weights of layers without calling them: an addition to those would have no effect.
    """
    paths: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, __, path=path: paths.append(path))
        for path, module in net.named_modules()
        if isinstance(module, layer_type)
    ]
    is_training = net.training
    run(net.eval())
    net.train(is_training)
    for hook in hooks:
        hook.remove()
    return sorted(set(paths))
