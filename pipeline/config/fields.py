"""Base class and types of the fields of all sections: names of components, ranges, seeds."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ROOT = Path(__file__).resolve().parents[2]  # the folder of the project
# Libraries of networks -> the module in models/audio and models/video that stands for all of them.
LIBRARIES = {"timm": "_hub", "torchvision": "_hub", "hf": "_hf"}
HUB_PATTERN = f"^({'|'.join(LIBRARIES)})/."  # regular expression: <library>/<name of a network in it>
# hf/: an id of Hugging Face (user/name, or only a name), or the path of a folder.
HUB_NAMES = ("timm/<name>", "torchvision/<name>", "hf/<id or path>")


class Section(BaseModel):
    """A section of params.yaml. All keys are required, other keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def component_names(folder: str) -> tuple[str, ...]:
    """Return the names of the components in models/<folder>, one per file, without importing them.

    folder: audio, video, joint, losses, matchers or tasks.
    """
    paths = (ROOT / "models" / folder).glob("*.py")
    return tuple(sorted(path.stem for path in paths if not path.stem.startswith("_")))


def source_names() -> tuple[str, ...]:
    """Return the names of the sources: the modules and packages in pipeline/sources that define `fetch`."""
    folder = ROOT / "pipeline" / "sources"
    modules = {path.stem: path for path in folder.glob("*.py") if path.stem != "__init__"}
    modules |= {path.parent.name: path for path in folder.glob("*/__init__.py")}
    is_source = re.compile(r"^def fetch\(|^from .* import .*\bfetch\b", re.MULTILINE)
    return tuple(sorted(name for name, path in modules.items() if is_source.search(path.read_text("utf-8"))))


def protocol_names() -> tuple[str, ...]:
    """Return the names of the evaluation protocols: the modules in pipeline/metrics/protocols."""
    paths = (ROOT / "pipeline" / "metrics" / "protocols").glob("*.py")
    return tuple(sorted(path.stem for path in paths if not path.stem.startswith("_")))


@dataclass(frozen=True)
class OneOf(AfterValidator):
    """The validator of `one_of`, which also adds the allowed names to the JSON schema of a field.

    names: the allowed values. allows_hubs: whether networks of LIBRARIES are allowed, too.
    """

    names: tuple[str, ...] = ()
    allows_hubs: bool = False

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        """Return the JSON schema. pydantic calls this method and passes both arguments."""
        names_schema = {"enum": list(self.names)}
        if not self.allows_hubs:
            return names_schema
        return {"anyOf": [names_schema, {"type": "string", "pattern": HUB_PATTERN}]}


def one_of(*names: str, allows_hubs: bool = False) -> OneOf:
    """Return a validator, for `Annotated[str, ...]`, which allows only these names.

    allows_hubs: also allow networks of LIBRARIES (`timm/resnet18`). Those of `hf/` are not checked here.
    """

    def check_name(value: str) -> str:
        """Return `value`. Raise ValueError if it is not allowed."""
        library, slash, network = value.partition("/")
        is_network = allows_hubs and bool(slash) and library in LIBRARIES
        if is_network and library == "hf" and network:
            return value
        allowed_names = _hub_models(library) if is_network else names
        if value not in allowed_names:
            hub_names = HUB_NAMES if allows_hubs else ()
            hint = did_you_mean(value, allowed_names, max_suggestions=3 if allows_hubs else 1)
            raise ValueError(f"unknown name; {hint}allowed: {', '.join((*names, *hub_names))}")
        return value

    return OneOf(check_name, names, allows_hubs)


def did_you_mean(value: Any, names: Any, max_suggestions: int = 1) -> str:
    """Return `did you mean loss? ` if some of `names` are similar to `value`, otherwise an empty string."""
    matches = difflib.get_close_matches(str(value), names, n=max_suggestions)
    return f"did you mean {' or '.join(matches)}? " if matches else ""


def _hub_models(library: str) -> list[str]:
    """Import timm or torchvision. Return the names of its networks, such as `timm/resnet18`.

    Those of timm include names with a tag, which selects published weights: `timm/resnet18.a1_in1k`. Other
    libraries have no list.
    """
    if library == "timm":
        import timm

        return [f"timm/{name}" for name in (*timm.list_models(), *timm.list_pretrained())]
    if library == "torchvision":
        import torchvision

        return [f"torchvision/{name}" for name in torchvision.models.list_models(torchvision.models)]
    return []


def check_ascending(numbers: list[Any]) -> list[Any]:
    """Return a list of two numbers as it is. Raise ValueError if the first is larger than the second."""
    first, second = numbers
    if first > second:
        raise ValueError(f"the first, {first:g}, is larger than the second, {second:g}")
    return numbers


Seed = Annotated[int, Field(ge=0, lt=2**32)]
Factor = Annotated[float, Field(ge=0, le=10)]
Range = Annotated[list[Factor], Field(min_length=2, max_length=2), AfterValidator(check_ascending)]

AudioEncoder = Annotated[str, one_of(*component_names("audio"), allows_hubs=True)]
VideoEncoder = Annotated[str, one_of(*component_names("video"), allows_hubs=True)]
JointEncoder = Annotated[str, one_of(*component_names("joint"))]
Loss = Annotated[str, one_of(*component_names("losses"))]
Matcher = Annotated[str, one_of(*component_names("matchers"))]
Task = Annotated[str, one_of(*component_names("tasks"))]
ProtocolName = Annotated[str, one_of(*protocol_names())]
