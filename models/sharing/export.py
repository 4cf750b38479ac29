"""A trained model as a folder to hand on: weights, configuration, labels, ONNX, and a model card."""

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
from models.checkpoint import CONFIG, WEIGHTS, Model
from models.sharing import card
from models.sharing.git_source import Origin
from models.tasks import tasks
from models.tasks._base import Part
from models.version import VERSION
from pipeline.errors import UserError

LABELS, CARD = "labels.json", "README.md"
LENGTHS = {"audio": (3, "time"), "video": (1, "frames")}  # the axis of a window that may be of any length
TOLERANCE = 1e-4  # how far ONNX may be from PyTorch, beside numbers of 1
LARGEST = 2**31 - 2**20  # bytes of one ONNX file: protobuf's limit, less room for the graph


# --- the folder -----------------------------------------------------------------------------------------


def export(source: str | Path, out: str | Path, name: str | None = None, repo: str | None = None) -> Path:
    """Write the model in the folder `source` to `out`/`name`, in place of an earlier export, and return that.

    name: None for one made of what was trained. repo: where it will lie on Hugging Face, for the card.
    A folder that is not whole never has that name. Raises UserError where there is no model, where the name
    cannot be one, and where something else has it.
    """
    source, out = Path(source), Path(out)
    model = checkpoint.load(source)
    name = _checked(name or default_name(model.config))
    origin = Origin.of(source)
    labels = model.config.get("classes") or model.config.get("labels") or origin.labels
    with _whole(out / name) as part:
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
    """What was trained: as `matching-cnn_small-frame-infonce`."""
    parts = tasks.get(config["task"]).describe(config).title
    return re.sub(r"[^A-Za-z0-9._-]+|\.{2,}", "_", "-".join(parts)).strip("._-")


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", name):
        raise UserError(f"--name {name!r}: letters, digits, '.', '_' and '-' alone, a letter or digit first")
    return name


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A new folder to write to, which takes the place of `folder` at the end, and is gone after an error."""
    if folder.exists() and not (folder / LABELS).is_file():  # checkpoints/ have none
        raise UserError(f"{folder}: is there, and no export: give another --name or --out, or move it away")
    part, old = (folder.with_name(f".{folder.name}.{kind}.tmp") for kind in ("new", "old"))
    try:
        for left in (part, old):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
    except (FileExistsError, NotADirectoryError, PermissionError) as e:
        raise UserError(f"{e.filename}: {e.strerror}: give another --out") from None
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


# --- ONNX -----------------------------------------------------------------------------------------------


def write_onnx(model: Model, folder: Path) -> dict[str, Any]:
    """Write the ONNX files of a model, each compared with PyTorch. Returns, of each, what config.json says:

    inputs, outputs: name -> dtype and shape, a name where any size will do; fixed: axis -> why it is of one
    length; difference: the largest from PyTorch's outputs, over two batch sizes and lengths. Of a part that
    ONNX cannot express: missing, and why.
    """
    found: dict[str, Any] = {}
    fixed: dict[str, str] = {}  # what cannot be free in one part need not be tried in the next
    with torch.no_grad(), _quiet():
        for name, part in model.module.onnx_parts().items():
            found[f"{name}.onnx"] = _write(part, folder / f"{name}.onnx", fixed)
            fixed |= found[f"{name}.onnx"].get("fixed", {})
    return found


def _write(part: Part, path: Path, known: dict[str, str]) -> dict[str, Any]:
    axes = {name: LENGTHS[name] for name in part.inputs if name in LENGTHS}
    fixed = {axis: known[axis] for _, axis in axes.values() if axis in known}
    free = {}
    for name, axis in axes.items():
        if axis[1] not in fixed and _takes_any(part, name):
            free[name] = axis
        else:
            fixed.setdefault(axis[1], "the network takes no other")
    for lengths in (free, {}) if free else ({},):
        try:
            about = _traced(part, path, lengths)
            about["difference"] = _difference(part, path, lengths)
            return about | ({"fixed": fixed} if fixed else {})
        except OSError:
            raise
        except Exception as e:  # the exporter, its optimizer and the runtime each have their own
            said = re.sub(r"\S*/\S*", "...", str(e))  # it may name files of this machine
            why = f"{type(e).__name__}: {' '.join(said.split())}"[:160]
            fixed |= {axis: f"ONNX cannot have it free: {why}" for _, axis in lengths.values()}
            path.unlink(missing_ok=True)
    return {"missing": why}


def _takes_any(part: Part, name: str) -> bool:
    """Whether the network itself takes an input that is longer, or shorter."""
    for length in _others(part, name):
        try:
            part.function(*_examples(part, 2, {name: length}))
        except (RuntimeError, AssertionError, ValueError):
            return False
    return True


def _others(part: Part, name: str) -> tuple[int, int]:
    length = part.inputs[name][0][LENGTHS[name][0] - 1]
    return 2 * length + 1, (length + 1) // 2


def _traced(part: Part, path: Path, free: dict[str, tuple[int, str]]) -> dict[str, Any]:
    """Write one file, with any batch and, of the inputs in `free`, any length."""
    shapes = tuple({0: "batch"} | dict([free[name]] if name in free else []) for name in part.inputs)
    # What is 1 in the example is taken for a constant.
    longer = {name: _others(part, name)[0] for name in free}
    program = torch.onnx.export(
        _Module(part.module, part.function),
        _examples(part, 2, longer),
        dynamo=True,
        verbose=False,
        dynamic_shapes=(shapes,),
        input_names=list(part.inputs),
        output_names=[part.output],
    )
    ClearMetadataAndDocStringPass()(program.model)  # where on this machine the code lies
    size = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
    program.save(path, external_data=size > LARGEST)  # beside it, as <name>.onnx.data
    session = _session(path)
    told = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    about = {
        way: {end.name: {"dtype": DTYPES[end.type], "shape": list(end.shape)} for end in ends}
        for way, ends in told.items()
    }
    for name in part.inputs:
        wanted = {"batch", *([free[name][1]] if name in free else [])}
        if lost := wanted - set(map(str, about["inputs"][name]["shape"])):
            raise ValueError(f"{', '.join(sorted(lost))} became a constant")
    return about


DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


def _difference(part: Part, path: Path, free: dict[str, tuple[int, str]]) -> float:
    """The largest difference of ONNX from PyTorch. Raises ValueError where it is too large."""
    session, largest = _session(path), 0.0
    for batch, which in ((1, None), (3, 0), (2, 1)):
        lengths = {} if which is None else {name: _others(part, name)[which] for name in free}
        given = _examples(part, batch, lengths)
        wanted = part.function(*given).numpy()
        [found] = session.run(None, {name: x.numpy() for name, x in zip(part.inputs, given, strict=True)})
        difference = float(np.abs(found - wanted).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
            raise ValueError(f"it is {difference:.1e} from PyTorch")
        largest = max(largest, difference)
    return largest


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised too
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _examples(part: Part, batch: int, lengths: dict[str, int]) -> tuple[Tensor, ...]:
    """Noise as inputs: decibels, pixels, or vectors of length 1. lengths: other than their own."""
    generator, found = torch.Generator().manual_seed(batch), []
    for name, (shape, dtype) in part.inputs.items():
        sizes = [batch, *shape]
        if name in lengths:
            sizes[LENGTHS[name][0]] = lengths[name]
        if dtype == torch.uint8:
            found.append(torch.randint(0, 256, sizes, generator=generator, dtype=dtype))
        else:
            x = torch.randn(sizes, generator=generator)
            found.append(F.normalize(x, dim=1) if x.ndim == 2 else x * 20 - 40)
    return tuple(found)


class _Module(nn.Module):
    """A method as a module, which is what can be exported."""

    def __init__(self, module: nn.Module, ask: Callable[..., Tensor]) -> None:
        super().__init__()
        self.module, self.ask = module, ask

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.ask(*inputs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings of its own parts' old age, and what it tries before it gives up."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
