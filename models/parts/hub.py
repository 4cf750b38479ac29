"""Networks of timm and torchvision as trunks, which map a picture to a vector."""

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

SIDE = 224  # pixels; the size that most published weights were trained at


class Trunk(nn.Module):
    """`timm/<name>` or `torchvision/<name>` without its classifier.

    Maps (batch, channels, height, width) to (batch, n_features).

    channels, size: of the inputs. The first convolution is adapted to the channels: published weights for
    three are summed for one, and distributed evenly for others (timm.models.adapt_input_conv). If the network
    does not take inputs of this size, they are scaled to its own.
    pretrained: True downloads the published weights, a path reads them from disk (safetensors, or PyTorch's
    format, never unpickled). frozen: the trunk is not trained, and its batch norms stay in evaluation mode.
    Raises UserError if the weights cannot be loaded.
    """

    def __init__(
        self, name: str, channels: int, size: tuple[int, int], pretrained: bool | str, frozen: bool
    ) -> None:
        super().__init__()
        self.name, self.frozen = name, frozen
        self.net, self.native_size = (
            _timm(name, channels) if name.startswith("timm/") else _torchvision(name, channels)
        )
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
        training = self.training
        out = self.eval()(torch.zeros(1, channels, *size))
        self.train(training)
        if out.ndim != 2 or not out.shape[1]:
            raise RuntimeError(f"{self.name} gives {tuple(out.shape)}, not one vector for each picture")
        return out.shape[1]

    def train(self, mode: bool = True) -> "Trunk":
        return super().train(mode and not self.frozen)

    def forward(self, x: Tensor) -> Tensor:
        if self.resizes_input:
            x = F.interpolate(x, self.native_size, mode="bilinear", align_corners=False)
        return self.net(x)


def load_pretrained(net: nn.Module, name: str, pretrained: bool | str, channels: int = 3) -> None:
    """Load the weights that `pretrained` selects, if any, into `net`, the network `name` or its start."""
    if pretrained:
        state = _fetch_published(name, net) if pretrained is True else read_weights(pretrained)
        _load_matching(net, state, channels, name if pretrained is True else str(pretrained))


def load_weights(source: str) -> dict[str, Tensor]:
    """Download the weights of `timm/<name>`, or read those of a file. Raises UserError if that fails."""
    if source.startswith("timm/"):
        model = source.partition("/")[2]
        if not timm.is_model(model):
            near = difflib.get_close_matches(model, timm.list_models(), n=1)
            hint = f": did you mean timm/{near[0]}?" if near else ""
            raise UserError(f"{source}: timm has no such model{hint}")
        return _fetch_published(source, timm.create_model(model, pretrained=False))
    return read_weights(source)


def _timm(name: str, channels: int) -> tuple[nn.Module, tuple[int, int]]:
    net = timm.create_model(name.partition("/")[2], pretrained=False, in_chans=channels, num_classes=0)
    return net, tuple(net.pretrained_cfg.get("input_size", (3, SIDE, SIDE))[1:])


def _torchvision(name: str, channels: int) -> tuple[nn.Module, tuple[int, int]]:
    has_auxiliary_heads = name.endswith(("googlenet", "inception_v3"))
    options = {"aux_logits": False, "init_weights": False} if has_auxiliary_heads else {}
    net = torchvision.models.get_model(name.partition("/")[2], weights=None, **options)
    if channels != 3:
        path, convolution = _first_convolution(net)
        _replace_module(net, path, _widen(convolution, channels))
    # The classifier is the last linear layer or, in networks without any, the last convolution.
    for kind in (nn.Linear, nn.Conv2d):
        if paths := [n for n, m in net.named_modules() if isinstance(m, kind)]:
            _replace_module(net, paths[-1], nn.Identity())
            break
    return net, (299, 299) if name.endswith("inception_v3") else (SIDE, SIDE)


def _first_convolution(net: nn.Module) -> tuple[str, nn.Conv2d]:
    return next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d))


def _replace_module(net: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, part)


def _widen(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    convolution = nn.Conv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        bias=conv.bias is not None,
    )
    with torch.no_grad():
        convolution.weight.copy_(adapt_input_conv(channels, conv.weight.detach()))
        if conv.bias is not None:
            convolution.bias.copy_(conv.bias)
    return convolution


def _fetch_published(name: str, net: nn.Module) -> dict[str, Tensor]:
    """Load published weights, over the network or from the caches of the libraries."""
    hub, _, model = name.partition("/")
    try:
        if hub == "timm":
            return timm.create_model(model, pretrained=True).state_dict()
        weights = torchvision.models.get_model_weights(model).DEFAULT
        return weights.get_state_dict(check_hash=True)
    except Exception as e:  # each library raises its own errors if there is no network
        raise UserError(
            f"{name}: its published weights cannot be downloaded ({type(e).__name__}): without a network,"
            f" copy {_published_file(hub, model, net)} here and set pretrained: PATH"
        ) from None


def _published_file(hub: str, model: str, net: nn.Module) -> str:
    """Describe where the published weights of a model are, for an error message."""
    if hub == "timm":
        source = net.pretrained_cfg
        hub_id = source.get("hf_hub_id")
        return f"model.safetensors of {hub_id}" if hub_id else str(source.get("url"))
    return torchvision.models.get_model_weights(model).DEFAULT.url


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read weights from a file: safetensors, or PyTorch's format with `weights_only`.

    Raises UserError if it cannot be read, or contains anything but weights.
    """
    try:
        if Path(path).suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception as e:  # pickle, zip and safetensors raise their own errors
        raise UserError(f"{path}: not a file of weights ({' '.join(str(e).split())[:160]})") from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{path}: not a file of weights alone: a dictionary of names and tensors is expected")
    return state


def _load_matching(net: nn.Module, state: dict[str, Tensor], channels: int, source: str) -> None:
    """Load `state`, which may also have a classifier, and a first convolution for three channels."""
    path, convolution = _first_convolution(net)
    key = f"{path}.weight"
    if key in state and state[key].shape[1] != convolution.weight.shape[1]:
        with contextlib.suppress(NotImplementedError):
            state = state | {key: adapt_input_conv(channels, state[key])}
    needed = net.state_dict()
    usable = {k: v for k, v in state.items() if k in needed and v.shape == needed[k].shape}
    missing = [k for k in needed if k not in usable and not k.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"{source}: not weights of this network: {len(missing)} of {len(needed)} are missing or of"
            f" another shape, such as {missing[0]}"
        )
    net.load_state_dict(usable, strict=False)
