"""Names of clips, files and classes in messages of one line."""

from collections.abc import Sequence


def quote(text: str) -> str:
    """Return `text` in quotes: escaped if it cannot be printed."""
    return repr(text) if text.isprintable() else ascii(text)


def first_names(names: Sequence[str], count: int = 3) -> str:
    """Return the first `count` names, separated by commas, and dots if there are more."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def quote_first(names: Sequence[str]) -> str:
    """Return the first three names in quotes, and dots if there are more."""
    return first_names([quote(name) for name in names])
