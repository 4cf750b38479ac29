"""Render the cards of models and data sets: Markdown in which names and parameters cannot add markup."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render_markdown(template: Path, **values: Any) -> str:
    """Return the text of a template with these values, which are escaped.

    In the template, the filter `trusted` is for text of this project, which is not escaped; so is Markup.
    """
    # Jinja escapes HTML only. `finalize` gets every value that the template prints.
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        finalize=escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["trusted"] = Markup
    return environment.get_template(template.name).render(**values)


def escape_markdown(value: Any) -> Any:
    """Return a value as one line of text without any markup. Numbers and Markup stay as they are."""
    if isinstance(value, Markup | int | float):
        return value
    line = " ".join(str(value).split())
    return re.sub(r"([!#$&*<=>@\[\\\]^_`{|}~]|:(?=//)|(?<=www)\.)", r"\\\1", line)
