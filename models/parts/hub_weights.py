"""Weights of networks of timm and torchvision: where they are, how they are read, and whether they fit."""

import contextlib
import difflib
from pathlib import Path

import safetensors.torch
import timm
import torch
import torchvision
from timm.models import adapt_input_conv
from torch import Tensor, nn

from models.weights import weights_file
from pipeline.errors import UserError


def load_pretrained(net: nn.Module, name: str, pretrained: bool | str, channels: int = 3) -> None:
    """Load pretrained weights into a network.

    net: the network `name` (`timm/...` or `torchvision/...`), or its first layers; it takes inputs with
    `channels`. pretrained: True downloads the published weights; a path is a file of weights, or a folder
    with the file `<name>.safetensors`; False or empty: do nothing.
    Raises UserError if the weights cannot be loaded, or are of another network.
    """
    if not pretrained:
        return
    if pretrained is True:
        _load_matching(net, _download_published(name, net), channels, source=name)
        return
    path = weights_file(name, pretrained)
    _load_matching(net, read_weights(path), channels, source=str(path))


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


def _download_published(name: str, net: nn.Module) -> dict[str, Tensor]:
    """Return the published weights of a network, downloaded or from the caches of the libraries.

    name: `timm/<name>` or `torchvision/<name>`. net: this network, for the error message.
    Raises UserError if they cannot be downloaded.
    """
    library, _, model = name.partition("/")
    try:
        if library == "timm":
            return timm.create_model(model, pretrained=True).state_dict()
        weights = torchvision.models.get_model_weights(model).DEFAULT
        return weights.get_state_dict(check_hash=True)
    except Exception as e:  # each library raises its own errors if there is no network
        raise UserError(
            f"{name}: its published weights cannot be downloaded ({type(e).__name__}): without a network,"
            f" copy {_describe_published_file(library, model, net)} here and set pretrained: PATH"
        ) from None


def _describe_published_file(library: str, model: str, net: nn.Module) -> str:
    """Say where the file with the published weights of a model is, for an error message."""
    if library == "timm":
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
    path, convolution = find_first_convolution(net)
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


def find_first_convolution(net: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return the first convolution of a network, and its path in the network, such as `features.0`."""
    return next((path, module) for path, module in net.named_modules() if isinstance(module, nn.Conv2d))
