"""Networks of timm and torchvision without their classifiers: they map an image to a vector."""

from typing import Any

import timm
import torch
import torchvision
from timm.models import adapt_input_conv
from torch import Tensor, nn
from torch.nn import functional as F

from models.parts.hub_weights import find_first_convolution, load_pretrained
from models.parts.network import Network, Trainable
from pipeline.errors import UserError

# What networks with random weights get: ImageNet's mean and standard deviation, and inputs as they are.
UNTRAINED: dict[str, Any] = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "input_size": None}


class Trunk(Network):
    """`timm/<name>` or `torchvision/<name>` without its classifier.

    channels, size (height, width): of the inputs. The first convolution is adapted to the channels: published
    weights for three channels are summed for one, and distributed evenly for other numbers
    (timm.models.adapt_input_conv).
    pretrained: True downloads the published weights; a path reads them from a file (safetensors, or PyTorch's
    format, never unpickled), or from `<name>.safetensors` in a folder; False: random weights.
    trainable, lora_rank: which weights are trained (models/parts/network.py).
    input_size: height and width to which inputs are scaled. None: those that the network was trained with, if
    it is pretrained; otherwise inputs keep their size, unless the network does not accept it.
    definition: the attribute of this name of such a trunk with weights: the new one gets the same inputs.

    The attribute `definition` has `mean` and `std` of the colours (0 to 1) of the images that the network was
    trained with, and `input_size`, [height, width] or None. The caller normalizes the colours.
    Raises UserError if the weights cannot be loaded, or if the network cannot be used so.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        size: tuple[int, int],
        pretrained: bool | str = False,
        trainable: Trainable = "all",
        lora_rank: int = 8,
        input_size: int | None = None,
        definition: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(name)
        create = _create_timm if name.startswith("timm/") else _create_torchvision
        describe = _describe_timm if name.startswith("timm/") else _describe_torchvision
        self.net = create(name, channels)
        own_definition = describe(name, self.net)
        definition = definition or (own_definition if pretrained else UNTRAINED)
        if input_size is not None:
            definition = definition | {"input_size": [input_size, input_size]}
        self.definition = definition
        self.input_size: list[int] | None = definition["input_size"]
        if self.input_size and getattr(self.net, "image_size", self.input_size[0]) != self.input_size[0]:
            # A transformer of torchvision, which has an embedding for each place of images of one size.
            self.net = create(name, channels, image_size=self.input_size[0])
        load_pretrained(self.net, name, pretrained, channels)
        try:
            self.n_features = self._count_features(channels, size)
        except (AssertionError, RuntimeError, ValueError) as e:
            if self.input_size:
                reason = " ".join(str(e).split())[:200]
                raise UserError(f"{name}: does not take images of {self.input_size}: {reason}") from None
            side = getattr(self.net, "image_size", None)  # of a transformer of torchvision
            self.input_size = [side, side] if side else own_definition["input_size"]
            self.n_features = self._count_features(channels, size)
        self.restrict_training(trainable, lora_rank, lambda _: self(torch.zeros(1, channels, *size)))

    @torch.no_grad()
    def _count_features(self, channels: int, size: tuple[int, int]) -> int:
        """Return the length of the output vector for inputs of this size (height, width).

        Raises an error of PyTorch or of the network if it does not accept inputs of this size.
        """
        is_training = self.training
        outputs = self.eval()(torch.zeros(1, channels, *size))
        self.train(is_training)
        if outputs.ndim != 2 or not outputs.shape[1]:
            raise RuntimeError(f"{self.name} gives {tuple(outputs.shape)}, not one vector for each picture")
        return outputs.shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, n_features)."""
        if self.input_size:
            images = scale(images, self.input_size)
        return self.net(images)


def scale(images: Tensor, size: list[int]) -> Tensor:
    """Scale (batch, channels, height, width) to a size (height, width), bilinear, without aliasing."""
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def _create_timm(name: str, channels: int, **options: Any) -> nn.Module:
    """Create `timm/<name>` with random weights and without a classifier. options: of its function."""
    options |= {"pretrained": False, "in_chans": channels, "num_classes": 0}
    return timm.create_model(name.partition("/")[2], **options)


def _describe_timm(name: str, net: nn.Module) -> dict[str, Any]:
    """Return the `definition` of a network of timm (see Trunk), from the configuration of its weights."""
    config = net.pretrained_cfg
    input_size = config.get("input_size", (3, 224, 224))[1:]
    return {
        "mean": list(config.get("mean", UNTRAINED["mean"])),
        "std": list(config.get("std", UNTRAINED["std"])),
        "input_size": list(input_size),
    }


def _create_torchvision(name: str, channels: int, **options: Any) -> nn.Module:
    """Create `torchvision/<name>` with random weights and without a classifier. options: of its function."""
    if name.endswith(("googlenet", "inception_v3")):
        options |= {"aux_logits": False, "init_weights": False}
    net = torchvision.models.get_model(name.partition("/")[2], weights=None, **options)
    if channels != 3:
        path, convolution = find_first_convolution(net)
        _replace_module(net, path, _adapt_to_channels(convolution, channels))
    # The classifier is the last linear layer or, in networks without any, the last convolution.
    for layer_type in (nn.Linear, nn.Conv2d):
        paths = [path for path, module in net.named_modules() if isinstance(module, layer_type)]
        if paths:
            _replace_module(net, paths[-1], nn.Identity())
            break
    return net


def _describe_torchvision(name: str, net: nn.Module) -> dict[str, Any]:
    """Return the `definition` of a network of torchvision (see Trunk), from the transforms of its weights."""
    transforms = torchvision.models.get_model_weights(name.partition("/")[2]).DEFAULT.transforms()
    mean, std = (torch.tensor(x, dtype=torch.float64) for x in (transforms.mean, transforms.std))
    if hasattr(net, "transform_input"):
        # Weights of these networks need colours of another scale: torchvision changes it in the network,
        # for images of three channels only. The same is computed here, from black and white.
        net.transform_input = True
        black, white = (net._transform_input(((x - mean) / std).view(1, -1, 1, 1)).flatten() for x in (0, 1))
        net.transform_input = False
        std = 1 / (white - black)
        mean = -black * std
    [side] = transforms.crop_size
    return {"mean": mean.tolist(), "std": std.tolist(), "input_size": [side, side]}


def _replace_module(net: nn.Module, path: str, replacement: nn.Module) -> None:
    """Replace the module at a path in a network, such as `features.0`."""
    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, replacement)


def _adapt_to_channels(convolution: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Create a convolution for inputs with `channels`, from one for images of three channels."""
    adapted = nn.Conv2d(
        channels,
        convolution.out_channels,
        convolution.kernel_size,
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        bias=convolution.bias is not None,
    )
    with torch.no_grad():
        adapted.weight.copy_(adapt_input_conv(channels, convolution.weight.detach()))
        if convolution.bias is not None:
            adapted.bias.copy_(convolution.bias)
    return adapted
