"""The part of a README that a program writes; what stands around it is written by hand."""

from pathlib import Path

from pipeline.errors import UserError

BEGIN = "<!-- generated: python -m experiments.table writes all up to the next such line anew -->"
END = "<!-- end of the generated part -->"


def generated(path: Path) -> str:
    """Return the generated part of a README. Raises UserError where the file does not mark one."""
    return _split(path)[1]


def replace_generated(path: Path, text: str) -> None:
    """Write `text` into a README in place of the part that was generated before."""
    before, _, after = _split(path)
    path.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}", encoding="utf-8")


def _split(path: Path) -> tuple[str, str, str]:
    try:
        before, rest = path.read_text(encoding="utf-8").split(BEGIN)
        text, after = rest.split(END)
    except FileNotFoundError:
        raise UserError(f"{path}: not there: git checkout {path}") from None
    except ValueError:
        raise UserError(f"{path}: needs a line {BEGIN!r} and after it a line {END!r}, once each") from None
    return before, text.strip(), after
