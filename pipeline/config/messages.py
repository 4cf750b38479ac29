"""Error messages for params.yaml, one line per error: the key, the value, what is allowed."""

import reprlib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.config.fields import did_you_mean


def explain(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """Yield a line for each error in the values of `model`."""
    for e in error.errors():
        key = ".".join(str(part) for part in e["loc"])
        if e["type"] == "extra_forbidden":
            *parents, last = e["loc"]
            yield f"{key}: unknown key; {_allowed_keys(model, parents, last)}"
        elif e["type"] == "missing":
            yield f"{key}: missing: every key must be in the file"
        else:
            message = e["msg"].removeprefix("Value error, ")
            value = f"{brief(e['input'])}: " if not isinstance(e["input"], dict) else ""
            yield f"{key + ': ' if key else ''}{value}{message[0].lower()}{message[1:]}"


def _allowed_keys(model: Any, parents: list[int | str], key: int | str) -> str:
    for parent in parents:
        model = model.model_fields[parent].annotation
    return f"{did_you_mean(key, model.model_fields)}known: {', '.join(model.model_fields)}"


def brief(value: Any) -> str:
    """Return `repr(value)`, shortened: a few lines of YAML with aliases can expand to gigabytes."""
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxtuple, short.maxdict, short.maxset = 3, 6, 6, 6, 6
    short.maxstring = short.maxlong = short.maxother = 200
    try:
        return short.repr(value)
    except ValueError:  # an integer with more digits than Python converts
        return f"a {type(value).__name__} that is too long"
