"""Networks of timm and torchvision without their classifiers: they map an image to a vector."""

import contextlib
import difflib
from pathlib import Path

import safetensors.torch
import timm
import torch
import torchvision
from timm.models import adapt_input_conv
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.errors import UserError

NATIVE_SIDE = 224  # height and width, in pixels, of the images that most published weights were trained with
INCEPTION_SIDE = 299  # the same for Inception


class Trunk(nn.Module):
    """`timm/<name>` or `torchvision/<name>` without its classifier.

    channels, size (height, width): of the inputs. The first convolution is adapted to the channels: published
    weights for three channels are summed for one, and distributed evenly for other numbers
    (timm.models.adapt_input_conv). If the network does not accept inputs of this size, they are scaled to the
    size that it was made for, `native_size`.
    pretrained: True downloads the published weights; a path reads them from a file (safetensors, or PyTorch's
    format, never unpickled); False: random weights.
    frozen: the trunk is not trained, and its batch norms stay in evaluation mode.
    Raises UserError if the weights cannot be loaded.
    """

    def __init__(
        self, name: str, channels: int, size: tuple[int, int], pretrained: bool | str, frozen: bool
    ) -> None:
        super().__init__()
        self.name, self.frozen = name, frozen
        create = _create_timm if name.startswith("timm/") else _create_torchvision
        self.net, self.native_size = create(name, channels)
        load_pretrained(self.net, name, pretrained, channels)
        if frozen:
            self.requires_grad_(False)
        self.resizes_input = False
        try:
            self.n_features = self._count_features(channels, size)
        except (AssertionError, RuntimeError, ValueError):
            self.resizes_input = True
            self.n_features = self._count_features(channels, size)

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

    def train(self, mode: bool = True) -> "Trunk":
        """Set the training mode. A frozen trunk stays in evaluation mode: its batch norms do not change."""
        return super().train(mode and not self.frozen)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, n_features)."""
        if self.resizes_input:
            images = F.interpolate(images, self.native_size, mode="bilinear", align_corners=False)
        return self.net(images)


def load_pretrained(net: nn.Module, name: str, pretrained: bool | str, channels: int = 3) -> None:
    """Load pretrained weights into a network.

    net: the network `name` (`timm/...` or `torchvision/...`), or its first layers; it takes inputs with
    `channels`. pretrained: True downloads the published weights; a path is a file of weights; False or empty:
    do nothing. Raises UserError if the weights cannot be loaded, or are of another network.
    """
    if not pretrained:
        return
    if pretrained is True:
        _load_matching(net, _download_published(name, net), channels, source=name)
    else:
        _load_matching(net, read_weights(pretrained), channels, source=str(pretrained))


def load_weights(source: str) -> dict[str, Tensor]:
    """Return name -> tensor of all weights of a network.

    source: `timm/<name>`, whose published weights are downloaded, or the path of a file of weights.
    Raises UserError if they cannot be loaded.
    """
    if source.startswith("timm/"):
        model = source.partition("/")[2]
        if not timm.is_model(model):
            near = difflib.get_close_matches(model, timm.list_models(), n=1)
            hint = f": did you mean timm/{near[0]}?" if near else ""
            raise UserError(f"{source}: timm has no such model{hint}")
        return _download_published(source, timm.create_model(model, pretrained=False))
    return read_weights(source)


def _create_timm(name: str, channels: int) -> tuple[nn.Module, tuple[int, int]]:
    """Create `timm/<name>` with random weights and without a classifier.

    Returns it, and the size (height, width) of the images that it was made for.
    """
    net = timm.create_model(name.partition("/")[2], pretrained=False, in_chans=channels, num_classes=0)
    _, height, width = net.pretrained_cfg.get("input_size", (3, NATIVE_SIDE, NATIVE_SIDE))
    return net, (height, width)


def _create_torchvision(name: str, channels: int) -> tuple[nn.Module, tuple[int, int]]:
    """Create `torchvision/<name>` with random weights and without a classifier.

    Returns it, and the size (height, width) of the images that it was made for.
    """
    has_auxiliary_heads = name.endswith(("googlenet", "inception_v3"))
    options = {"aux_logits": False, "init_weights": False} if has_auxiliary_heads else {}
    net = torchvision.models.get_model(name.partition("/")[2], weights=None, **options)
    if channels != 3:
        path, convolution = _find_first_convolution(net)
        _replace_module(net, path, _adapt_to_channels(convolution, channels))
    # The classifier is the last linear layer or, in networks without any, the last convolution.
    for layer_type in (nn.Linear, nn.Conv2d):
        paths = [path for path, module in net.named_modules() if isinstance(module, layer_type)]
        if paths:
            _replace_module(net, paths[-1], nn.Identity())
            break
    side = INCEPTION_SIDE if name.endswith("inception_v3") else NATIVE_SIDE
    return net, (side, side)


def _find_first_convolution(net: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return the first convolution of a network, and its path in the network, such as `features.0`."""
    return next((path, module) for path, module in net.named_modules() if isinstance(module, nn.Conv2d))


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


def _download_published(name: str, net: nn.Module) -> dict[str, Tensor]:
    """Return the published weights of a network, downloaded or from the caches of the libraries.

    name: `timm/<name>` or `torchvision/<name>`. net: this network, for the error message.
    Raises UserError if they cannot be downloaded.
    """
    hub, _, model = name.partition("/")
    try:
        if hub == "timm":
            return timm.create_model(model, pretrained=True).state_dict()
        weights = torchvision.models.get_model_weights(model).DEFAULT
        return weights.get_state_dict(check_hash=True)
    except Exception as e:  # each library raises its own errors if there is no network
        raise UserError(
            f"{name}: its published weights cannot be downloaded ({type(e).__name__}): without a network,"
            f" copy {_describe_published_file(hub, model, net)} here and set pretrained: PATH"
        ) from None


def _describe_published_file(hub: str, model: str, net: nn.Module) -> str:
    """Say where the file with the published weights of a model is, for an error message."""
    if hub == "timm":
        source = net.pretrained_cfg
        repository = source.get("hf_hub_id")  # on Hugging Face
        return f"model.safetensors of {repository}" if repository else str(source.get("url"))
    return torchvision.models.get_model_weights(model).DEFAULT.url


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a file of weights: name -> tensor.

    The format is safetensors if the name ends so, otherwise PyTorch's, of which no objects are unpickled.
    Raises UserError if the file cannot be read, or has anything but tensors in it.
    """
    try:
        if Path(path).suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception as e:  # pickle, zip and safetensors raise their own errors
        raise UserError(f"{path}: not a file of weights ({' '.join(str(e).split())[:160]})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: not a file of weights: it must be a dictionary of names and tensors only")
    return state


def _load_matching(net: nn.Module, state: dict[str, Tensor], channels: int, source: str) -> None:
    """Load weights into a network that takes inputs with `channels`.

    state: name -> tensor. It may have weights that the network lacks, such as those of a classifier, and a
    first convolution for three channels, which is adapted. source: of the weights, for the error message.
    Raises UserError if a weight of the network is not in `state`, or has another shape there.
    """
    path, convolution = _find_first_convolution(net)
    key = f"{path}.weight"
    if key in state and state[key].shape[1] != convolution.weight.shape[1]:
        # timm adapts only weights for three channels. If it cannot, the shapes differ: an error below.
        with contextlib.suppress(NotImplementedError):
            state = state | {key: adapt_input_conv(channels, state[key])}
    needed = net.state_dict()
    usable = {
        name: value for name, value in state.items() if name in needed and value.shape == needed[name].shape
    }
    # Counters of batch norms are no weights: some files lack them.
    missing = [name for name in needed if name not in usable and not name.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"{source}: not weights of this network: {len(missing)} of {len(needed)} are missing or of"
            f" another shape, such as {missing[0]}"
        )
    net.load_state_dict(usable, strict=False)
