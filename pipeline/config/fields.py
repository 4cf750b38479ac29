"""Base class and types of the fields of all sections: names of components, ranges, seeds."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ROOT = Path(__file__).resolve().parents[2]
HUB_PATTERN = "^(timm|torchvision)/."  # <library>/<name of a model in it>


class Section(BaseModel):
    """A section of params.yaml. All keys are required, other keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def component_names(kind: str) -> tuple[str, ...]:
    """Return the names of the modules in models/<kind>, one per component, without importing them."""
    paths = (ROOT / "models" / kind).glob("*.py")
    return tuple(sorted(path.stem for path in paths if not path.stem.startswith("_")))


def source_names() -> tuple[str, ...]:
    """Return the names in pipeline/sources: the modules or packages that define `fetch`."""
    folder = ROOT / "pipeline" / "sources"
    modules = {path.stem: path for path in folder.glob("*.py") if path.stem != "__init__"}
    modules |= {path.parent.name: path for path in folder.glob("*/__init__.py")}
    is_source = re.compile(r"^def fetch\(|^from .* import .*\bfetch\b", re.MULTILINE)
    return tuple(sorted(n for n, path in modules.items() if is_source.search(path.read_text("utf-8"))))


@dataclass(frozen=True)
class OneOf(AfterValidator):
    """The validator of `one_of`, which also adds the names to a JSON schema."""

    names: tuple[str, ...] = ()
    hubs: bool = False

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        names = {"enum": list(self.names)}
        return {"anyOf": [names, {"type": "string", "pattern": HUB_PATTERN}]} if self.hubs else names


def one_of(*names: str, hubs: bool = False) -> OneOf:
    """Return a validator for one of `names`; with `hubs`, also for models of timm and torchvision."""

    def check(value: str) -> str:
        hub = value.partition("/")[0] if hubs else ""
        allowed = _hub_models(hub) if hub in ("timm", "torchvision") and "/" in value else names
        if value not in allowed:
            hub_names = ", timm/<name>, torchvision/<name>" if hubs else ""
            hint = did_you_mean(value, allowed, n=3 if hub else 1)
            raise ValueError(f"unknown name; {hint}allowed: {', '.join(names)}{hub_names}")
        return value

    return OneOf(check, names, hubs)


def did_you_mean(value: Any, names: Any, n: int = 1) -> str:
    """Return `did you mean loss? ` if some of `names` are similar to `value`, otherwise an empty string."""
    matches = difflib.get_close_matches(str(value), names, n=n)
    return f"did you mean {' or '.join(matches)}? " if matches else ""


def _hub_models(hub: str) -> list[str]:
    """Import timm or torchvision and return the names of its models, such as `timm/resnet18`."""
    if hub == "timm":
        import timm

        return [f"timm/{name}" for name in timm.list_models()]
    import torchvision

    return [f"torchvision/{name}" for name in torchvision.models.list_models(torchvision.models)]


def check_ascending(value: list[Any]) -> list[Any]:
    """Return two numbers. Raise ValueError if the first is larger than the second."""
    if value[0] > value[1]:
        raise ValueError(f"the first, {value[0]:g}, is larger than the second, {value[1]:g}")
    return value


Seed = Annotated[int, Field(ge=0, lt=2**32)]
Factor = Annotated[float, Field(ge=0, le=10)]
Range = Annotated[list[Factor], Field(min_length=2, max_length=2), AfterValidator(check_ascending)]

AudioEncoder = Annotated[str, one_of(*component_names("audio"), hubs=True)]
VideoEncoder = Annotated[str, one_of(*component_names("video"), hubs=True)]
JointEncoder = Annotated[str, one_of(*component_names("joint"))]
Loss = Annotated[str, one_of(*component_names("losses"))]
Matcher = Annotated[str, one_of(*component_names("matchers"))]
Task = Annotated[str, one_of(*component_names("tasks"))]
