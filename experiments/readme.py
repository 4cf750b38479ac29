"""The generated part of a README: a program writes it, and people write the text before and after it."""

from pathlib import Path

from pipeline.errors import UserError

BEGIN = "<!-- generated: python -m experiments.table writes all up to the next such line anew -->"
END = "<!-- end of the generated part -->"


def read_generated(path: Path) -> str:
    """Return the generated part of a README. Raises UserError if the lines around it are missing."""
    _, text, _ = _split(path)
    return text


def replace_generated(path: Path, text: str) -> None:
    """Replace the generated part of a README. Raises UserError if the lines around it are missing."""
    before, _, after = _split(path)
    path.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}", encoding="utf-8")


def _split(path: Path) -> tuple[str, str, str]:
    """Return the parts of a README before, in and after the lines BEGIN and END."""
    try:
        before, rest = path.read_text(encoding="utf-8").split(BEGIN)
        text, after = rest.split(END)
    except FileNotFoundError:
        raise UserError(f"{path}: not there: git checkout {path}") from None
    except ValueError:
        raise UserError(f"{path}: needs a line {BEGIN!r} and after it a line {END!r}, once each") from None
    return before, text.strip(), after
