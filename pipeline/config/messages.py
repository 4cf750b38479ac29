"""Error messages for params.yaml, one line per error: the key, the value, what is allowed."""

import reprlib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.config.fields import did_you_mean


def explain_errors(validation_error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """Yield a line for each error that pydantic reports for the values of a file.

    model: the class of the values (`Params`, or another section).
    """
    for error in validation_error.errors():
        key = ".".join(str(name) for name in error["loc"])
        if error["type"] == "extra_forbidden":
            *sections, name = error["loc"]
            yield f"{key}: unknown key; {_list_known_keys(model, sections, name)}"
        elif error["type"] == "missing":
            yield f"{key}: missing: every key must be in the file"
        else:
            message = error["msg"].removeprefix("Value error, ")
            # The value of a whole section would say nothing.
            value = f"{shorten(error['input'])}: " if not isinstance(error["input"], dict) else ""
            yield f"{key + ': ' if key else ''}{value}{message[0].lower()}{message[1:]}"


def _list_known_keys(model: Any, sections: list[int | str], unknown_key: int | str) -> str:
    """Return the keys of a section, and before them a similar one: `did you mean seed? known: task, ...`.

    model: the class of the whole file. sections: the keys that lead from it to the section.
    """
    for section in sections:
        model = model.model_fields[section].annotation
    return f"{did_you_mean(unknown_key, model.model_fields)}known: {', '.join(model.model_fields)}"


def shorten(value: Any) -> str:
    """Return `repr(value)`, shortened: a few lines of YAML with aliases can expand to gigabytes."""
    shortener = reprlib.Repr()
    shortener.maxlevel = 3  # levels of nested values
    shortener.maxlist = shortener.maxtuple = shortener.maxdict = shortener.maxset = 6  # items
    shortener.maxstring = shortener.maxlong = shortener.maxother = 200  # characters
    try:
        return shortener.repr(value)
    except ValueError:  # an integer with more digits than Python converts
        return f"a {type(value).__name__} that is too long"
