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
from typing import Any

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
LENGTHS = {"audio": (3, "time"), "video": (1, "frames")}  # input -> (axis, name) that can have any length
TOLERANCE = 1e-4  # largest difference of ONNX from PyTorch, relative to the largest output (at least 1)
LARGEST = 2**31 - 2**20  # bytes of weights in one ONNX file: the limit of protobuf, minus the graph


# --- the folder -----------------------------------------------------------------------------------------


def export(source: str | Path, out: str | Path, name: str | None = None, repo: str | None = None) -> Path:
    """Export the model in the folder `source` to `out`/`name`, and return that folder.

    It replaces an earlier export, and appears only when it is complete. name: None for `default_name`. repo:
    where it will be on Hugging Face, for the card.
    Raises UserError if there is no model, the name is invalid, or `out`/`name` exists and is no export.
    """
    source, out = Path(source), Path(out)
    model = checkpoint.load(source)
    name = _check_name(name or default_name(model.config))
    origin = Origin.find(source)
    labels = model.config.get("classes") or model.config.get("labels") or origin.labels
    with _replace_folder(out / name) as part:
        shutil.copyfile(source / WEIGHTS, part / WEIGHTS)
        config = {key: value for key, value in model.config.items() if key != "history"}
        config |= {"version": VERSION, "onnx": write_onnx(model, part)}
        (part / LABELS).write_text(json.dumps(labels, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        size = sum(weights.numel() for weights in model.module.parameters())
        text = card.render(name, config, labels, size, origin, repo)
        (part / CARD).write_text(text, encoding="utf-8")
        (part / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return out / name


def default_name(config: dict[str, Any]) -> str:
    """Return a name for what was trained, as `matching-cnn_small-frame-infonce`."""
    parts = tasks.get(config["task"]).describe(config).title
    return re.sub(r"[^A-Za-z0-9._-]+|\.{2,}", "_", "-".join(parts)).strip("._-")


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", name):
        raise UserError(
            f"--name {name!r}: must be letters, digits, '.', '_' and '-', with a letter or digit first"
        )
    return name


@contextmanager
def _replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder that replaces `folder` at the end. After an error it is deleted."""
    if folder.exists() and not (folder / LABELS).is_file():  # the stage train does not write it
        raise UserError(f"{folder}: exists and is not an export: give another --name or --out, or move it")
    part, old = (folder.with_name(f".{folder.name}.{kind}.tmp") for kind in ("new", "old"))
    try:
        for leftover in (part, old):  # of an export that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
    except (FileExistsError, NotADirectoryError, PermissionError) as e:
        raise UserError(f"{e.filename}: {e.strerror}: give another --out") from None
    finally:
        for leftover in (part, old):
            shutil.rmtree(leftover, ignore_errors=True)


# --- ONNX -----------------------------------------------------------------------------------------------


def write_onnx(model: Model, folder: Path) -> dict[str, Any]:
    """Write the ONNX files of a model, and compare each with PyTorch. Returns the facts for config.json.

    For each file: inputs, outputs: name -> dtype and shape, with a name for a size that can be any number;
    fixed: axis -> why its size cannot change; difference: the largest from PyTorch's outputs, over several
    batch sizes and lengths. For a part that ONNX cannot express: missing: why.
    """
    files: dict[str, Any] = {}
    fixed: dict[str, str] = {}  # an axis that is fixed in one part is not tried in the next
    with torch.no_grad(), _suppress_warnings():
        for name, part in model.module.onnx_graphs().items():
            files[f"{name}.onnx"] = _write(part, folder / f"{name}.onnx", fixed)
            fixed |= files[f"{name}.onnx"].get("fixed", {})
    return files


def _write(part: OnnxGraph, path: Path, fixed_axes: dict[str, str]) -> dict[str, Any]:
    """Write one file, with free lengths if possible. fixed_axes: axis -> why it is fixed in other parts."""
    axes = {name: LENGTHS[name] for name in part.inputs if name in LENGTHS}
    fixed = {axis: fixed_axes[axis] for _, axis in axes.values() if axis in fixed_axes}
    free = {}
    for name, axis in axes.items():
        if axis[1] not in fixed and _accepts_other_lengths(part, name):
            free[name] = axis
        else:
            fixed.setdefault(axis[1], "the network accepts no other")
    for lengths in (free, {}) if free else ({},):
        try:
            facts = _trace(part, path, lengths)
            facts["difference"] = _measure_difference(part, path, lengths)
            return facts | ({"fixed": fixed} if fixed else {})
        except OSError:
            raise
        except Exception as e:  # exporter, optimizer and runtime each have their own error classes
            message = re.sub(r"\S*/\S*", "...", str(e))  # remove paths of this machine
            why = f"{type(e).__name__}: {' '.join(message.split())}"[:160]
            fixed |= {axis: f"ONNX cannot vary it: {why}" for _, axis in lengths.values()}
            path.unlink(missing_ok=True)
    return {"missing": why}


def _accepts_other_lengths(part: OnnxGraph, name: str) -> bool:
    """Return whether the network accepts a longer and a shorter input."""
    for length in _other_lengths(part, name):
        try:
            part.function(*_examples(part, 2, {name: length}))
        except (RuntimeError, AssertionError, ValueError):
            return False
    return True


def _other_lengths(part: OnnxGraph, name: str) -> tuple[int, int]:
    """Return a longer and a shorter length of an input."""
    length = part.inputs[name][0][LENGTHS[name][0] - 1]
    return 2 * length + 1, (length + 1) // 2


def _trace(part: OnnxGraph, path: Path, free: dict[str, tuple[int, str]]) -> dict[str, Any]:
    """Write one file. Its batch size, and the lengths of the inputs in `free`, can be any number."""
    shapes = tuple({0: "batch"} | dict([free[name]] if name in free else []) for name in part.inputs)
    # The exporter makes a size of 1 in the example a constant.
    longer = {name: _other_lengths(part, name)[0] for name in free}
    program = torch.onnx.export(
        _FunctionModule(part.module, part.function),
        _examples(part, 2, longer),
        dynamo=True,
        verbose=False,
        dynamic_shapes=(shapes,),
        input_names=list(part.inputs),
        output_names=[part.output],
    )
    ClearMetadataAndDocStringPass()(program.model)  # paths of this machine
    size = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
    program.save(path, external_data=size > LARGEST)  # in a second file, <name>.onnx.data
    session = _session(path)
    facts = {
        kind: {tensor.name: {"dtype": DTYPES[tensor.type], "shape": list(tensor.shape)} for tensor in tensors}
        for kind, tensors in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }
    for name in part.inputs:
        dynamic = {"batch", *([free[name][1]] if name in free else [])}
        if constants := dynamic - set(map(str, facts["inputs"][name]["shape"])):
            raise ValueError(f"{', '.join(sorted(constants))} became a constant")
    return facts


DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


def _measure_difference(part: OnnxGraph, path: Path, free: dict[str, tuple[int, str]]) -> float:
    """Return the largest difference of ONNX from PyTorch. Raises ValueError if it is too large."""
    session, largest = _session(path), 0.0
    for batch, which in ((1, None), (3, 0), (2, 1)):
        lengths = {} if which is None else {name: _other_lengths(part, name)[which] for name in free}
        inputs = _examples(part, batch, lengths)
        expected = part.function(*inputs).numpy()
        arrays = {name: x.numpy() for name, x in zip(part.inputs, inputs, strict=True)}
        [output] = session.run(None, arrays)
        difference = float(np.abs(output - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise ValueError(f"its outputs differ from PyTorch by {difference:.1e}")
        largest = max(largest, difference)
    return largest


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised too
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _examples(part: OnnxGraph, batch: int, lengths: dict[str, int]) -> tuple[Tensor, ...]:
    """Return noise as inputs: decibels, pixels, or vectors of length 1. lengths: of some inputs."""
    generator, inputs = torch.Generator().manual_seed(batch), []
    for name, (shape, dtype) in part.inputs.items():
        sizes = [batch, *shape]
        if name in lengths:
            sizes[LENGTHS[name][0]] = lengths[name]
        if dtype == torch.uint8:
            inputs.append(torch.randint(0, 256, sizes, generator=generator, dtype=dtype))
        else:
            x = torch.randn(sizes, generator=generator)
            inputs.append(F.normalize(x, dim=1) if x.ndim == 2 else x * 20 - 40)
    return tuple(inputs)


class _FunctionModule(nn.Module):
    """Wrap a function in a module: only modules can be exported."""

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
