"""Export a trained model as a folder: weights, configuration, labels, ONNX files, and a model card."""

import json
import logging
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn
from torch.nn import functional as F

from models import checkpoint
from models.checkpoint import CONFIG, Model
from models.sharing import card
from models.sharing.git_source import Origin
from models.tasks import tasks
from models.tasks._base import OnnxGraph
from models.version import VERSION
from models.weights import WEIGHTS
from pipeline.errors import UserError

LABELS, CARD = "labels.json", "README.md"
TOLERANCE = 1e-4  # largest difference of ONNX from PyTorch, relative to the largest output (at least 1)
MAX_ONNX_BYTES = 2**31 - 2**20  # of weights in one ONNX file: the limit of protobuf, minus the graph


class Axis(NamedTuple):
    """An axis of an input that can have any length in an ONNX file, if the network accepts that."""

    number: int  # 0 is the batch
    name: str


LENGTH_AXES = {"audio": Axis(3, "time"), "video": Axis(1, "frames")}  # by the name of the input


# --- the folder -----------------------------------------------------------------------------------------


def export(source: str | Path, out: str | Path, name: str | None = None, repo: str | None = None) -> Path:
    """Export the model in the folder `source` to the folder `out`/`name`, and return that folder.

    The folder replaces an earlier export, and appears only when it is complete.
    name: None for one that is made of the task, the encoders and so on. repo: where the model will be on
    Hugging Face, USER/REPO, for the card.
    Raises UserError if there is no model, the name is invalid, or `out`/`name` exists and is no export.
    """
    source, out = Path(source), Path(out)
    model = checkpoint.load(source)
    name = name or default_name(model.config)
    _check_name(name)
    origin = Origin.find(source)
    labels = model.config.get("classes") or model.config.get("labels") or origin.labels
    with _replace_folder(out / name) as folder:
        shutil.copyfile(source / WEIGHTS, folder / WEIGHTS)
        config = {key: value for key, value in model.config.items() if key != "history"}
        config |= {"version": VERSION, "onnx": write_onnx(model, folder)}
        labels_json = json.dumps(labels, indent=2, ensure_ascii=False) + "\n"
        (folder / LABELS).write_text(labels_json, encoding="utf-8")
        n_parameters = sum(weights.numel() for weights in model.module.parameters())
        text = card.render(name, config, labels, n_parameters, origin, repo)
        (folder / CARD).write_text(text, encoding="utf-8")
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return out / name


def default_name(config: dict[str, Any]) -> str:
    """Return a name for a trained model, such as `matching-cnn_small-frame-infonce`."""
    words = tasks.get(config["task"]).describe(config).title
    return re.sub(r"[^A-Za-z0-9._-]+|\.{2,}", "_", "-".join(words)).strip("._-")


def _check_name(name: str) -> None:
    """Raise UserError if `name` cannot be the name of a folder on every system and on Hugging Face."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", name):
        raise UserError(
            f"--name {name!r}: must be letters, digits, '.', '_' and '-', with a letter or digit first"
        )


@contextmanager
def _replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new, empty folder. At the end of the `with` block it replaces `folder`.

    After an error the new folder is deleted, and `folder` stays as it was. Raises UserError if `folder`
    exists and is no export, or cannot be written.
    """
    if folder.exists() and not (folder / LABELS).is_file():  # the stage train does not write it
        raise UserError(f"{folder}: exists and is not an export: give another --name or --out, or move it")
    new, old = (folder.with_name(f".{folder.name}.{suffix}.tmp") for suffix in ("new", "old"))
    try:
        for leftover in (new, old):  # of an export that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    except (FileExistsError, NotADirectoryError, PermissionError) as e:
        raise UserError(f"{e.filename}: {e.strerror}: give another --out") from None
    finally:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)


# --- ONNX -----------------------------------------------------------------------------------------------


def write_onnx(model: Model, folder: Path) -> dict[str, Any]:
    """Write the ONNX files of a model, and compare each with PyTorch.

    Returns what config.json says about each file, by its name:
    - inputs, outputs: name -> dtype and shape; in the shape, a size that can be any number is a word;
    - fixed: name of an axis -> why its size cannot change;
    - difference: the largest from PyTorch's outputs, over several batch sizes and lengths;
    - missing: why there is no such file, if ONNX cannot express this part of the model.
    """
    files: dict[str, Any] = {}
    fixed_axes: dict[str, str] = {}  # an axis that is fixed in one part is not tried in the next
    with torch.no_grad(), _suppress_warnings():
        for name, part in model.module.onnx_graphs().items():
            description = _write_part(part, folder / f"{name}.onnx", fixed_axes)
            files[f"{name}.onnx"] = description
            fixed_axes |= description.get("fixed", {})
    return files


def _write_part(part: OnnxGraph, path: Path, fixed_axes: dict[str, str]) -> dict[str, Any]:
    """Write one file, if possible with inputs of any length. Returns what config.json says about it.

    fixed_axes: name of an axis -> why its size cannot change in other parts of the model.
    """
    axes = {name: LENGTH_AXES[name] for name in part.inputs if name in LENGTH_AXES}
    fixed = {axis.name: fixed_axes[axis.name] for axis in axes.values() if axis.name in fixed_axes}
    free: dict[str, Axis] = {}  # input -> its axis of any length
    for name, axis in axes.items():
        if axis.name not in fixed and _accepts_other_lengths(part, name):
            free[name] = axis
        else:
            fixed.setdefault(axis.name, "the network accepts no other")
    # Try with free lengths first. If that fails, try with fixed ones.
    attempts: list[dict[str, Axis]] = [free, {}] if free else [{}]
    for free_axes in attempts:
        try:
            description = _trace(part, path, free_axes)
            description["difference"] = _measure_difference(part, path, free_axes)
            return description | ({"fixed": fixed} if fixed else {})
        except OSError:
            raise
        except Exception as e:  # exporter, optimizer and runtime each have their own error classes
            message = re.sub(r"\S*/\S*", "...", str(e))  # remove paths of this machine
            why = f"{type(e).__name__}: {' '.join(message.split())}"[:160]
            fixed |= {axis.name: f"ONNX cannot vary it: {why}" for axis in free_axes.values()}
            path.unlink(missing_ok=True)
    return {"missing": why}


def _accepts_other_lengths(part: OnnxGraph, name: str) -> bool:
    """Return whether the network accepts a longer and a shorter array as the input `name`."""
    for length in _other_lengths(part, name):
        try:
            part.function(*_create_inputs(part, 2, {name: length}))
        except (RuntimeError, AssertionError, ValueError):
            return False
    return True


def _other_lengths(part: OnnxGraph, name: str) -> tuple[int, int]:
    """Return a longer and a shorter length of the input `name` than it has in training."""
    shape, _ = part.inputs[name]  # without the batch
    length = shape[LENGTH_AXES[name].number - 1]
    return 2 * length + 1, (length + 1) // 2


def _trace(part: OnnxGraph, path: Path, free_axes: dict[str, Axis]) -> dict[str, Any]:
    """Write one file, whose batch size can be any number, and so can the length of the inputs in `free_axes`.

    Returns inputs and outputs: name -> dtype and shape. Raises ValueError if a size became a constant.
    """
    dynamic_axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in part.inputs}
    for name, axis in free_axes.items():
        dynamic_axes[name][axis.number] = axis.name
    # The longer length, because the exporter makes a size of 1 in the example a constant.
    lengths = {name: _other_lengths(part, name)[0] for name in free_axes}
    program = torch.onnx.export(
        _FunctionModule(part.module, part.function),
        _create_inputs(part, 2, lengths),
        dynamo=True,
        verbose=False,
        dynamic_shapes=(tuple(dynamic_axes.values()),),
        input_names=list(part.inputs),
        output_names=[part.output],
    )
    _make_names_unique(program.model.graph)
    ClearMetadataAndDocStringPass()(program.model)  # paths of this machine
    n_bytes = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
    # External data are in a second file, <name>.onnx.data.
    program.save(path, external_data=n_bytes > MAX_ONNX_BYTES)
    session = _open_session(path)
    description = {
        "inputs": _describe_tensors(session.get_inputs()),
        "outputs": _describe_tensors(session.get_outputs()),
    }
    for name, axes in dynamic_axes.items():
        if constants := set(axes.values()) - set(map(str, description["inputs"][name]["shape"])):
            raise ValueError(f"{', '.join(sorted(constants))} became a constant")
    return description


def _describe_tensors(tensors: list[onnxruntime.NodeArg]) -> dict[str, dict[str, Any]]:
    """Return name -> dtype and shape of the inputs or outputs of an ONNX file."""
    dtypes = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}
    return {tensor.name: {"dtype": dtypes[tensor.type], "shape": list(tensor.shape)} for tensor in tensors}


def _measure_difference(part: OnnxGraph, path: Path, free_axes: dict[str, Axis]) -> float:
    """Return the largest difference of ONNX from PyTorch. Raises ValueError if it is too large.

    free_axes: the inputs that can have any length. Lengths and batch sizes vary.
    """
    longer = {name: _other_lengths(part, name)[0] for name in free_axes}
    shorter = {name: _other_lengths(part, name)[1] for name in free_axes}
    lengths_of_training: dict[str, int] = {}
    session, largest_difference = _open_session(path), 0.0
    for batch_size, lengths in ((1, lengths_of_training), (3, longer), (2, shorter)):
        inputs = _create_inputs(part, batch_size, lengths)
        expected = part.function(*inputs).numpy()
        arrays = {name: tensor.numpy() for name, tensor in zip(part.inputs, inputs, strict=True)}
        [output] = session.run(None, arrays)
        difference = float(np.abs(output - expected).max())
        # `not <=` is true for NaN too
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise ValueError(f"its outputs differ from PyTorch by {difference:.1e}")
        largest_difference = max(largest_difference, difference)
    return largest_difference


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised too
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _make_names_unique(graph: Any) -> None:
    """Rename constants that have the name of an output: the exporter calls them after an operation.

    A layer nn.Embedding inside a network makes a constant `embedding`, which is also our name of the output.
    """
    for output in graph.outputs:
        constant = graph.initializers.pop(output.name, None)
        if constant is not None:
            constant.name = f"constant_{output.name}"
            graph.register_initializer(constant)


def _create_inputs(part: OnnxGraph, batch_size: int, lengths: dict[str, int]) -> tuple[Tensor, ...]:
    """Return noise as inputs of a part: pixels, vectors of length 1, or decibels.

    lengths: input -> its length; other inputs have the length of training.
    """
    generator = torch.Generator().manual_seed(batch_size)
    inputs = []
    for name, (shape, dtype) in part.inputs.items():
        sizes = [batch_size, *shape]
        if name in lengths:
            sizes[LENGTH_AXES[name].number] = lengths[name]
        if dtype == torch.uint8:
            inputs.append(torch.randint(0, 256, sizes, generator=generator, dtype=dtype))
        else:
            noise = torch.randn(sizes, generator=generator)
            is_vector = noise.ndim == 2  # an embedding, otherwise a spectrogram
            inputs.append(F.normalize(noise, dim=1) if is_vector else noise * 20 - 40)
    return tuple(inputs)


class _FunctionModule(nn.Module):
    """A module that calls a function, because only modules can be exported.

    module: the module whose weights the function uses.
    """

    def __init__(self, module: nn.Module, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.module, self.function = module, function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


@contextmanager
def _suppress_warnings() -> Iterator[None]:
    """Suppress the exporter's deprecation warnings and the log of its failed attempts."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
