"""What became of one clip in one stage."""

from dataclasses import dataclass, field
from typing import Any

OK = "ok"
STATUSES = {
    "ok": "the clip came out as data",
    "no_audio": "the file has no sound track",
    "no_video": "the file has no picture track",
    "too_short": "the clip holds no sound or no picture, or the two share less than a window",
    "corrupt": "the file cannot be decoded",
    "unavailable": "the file or address cannot be read",
    "refused": "a playlist, or a format that is not read",
    "crashed": "the decoder crashed on this clip",
    "timeout": "the decoder ran longer than engine.timeout",
    "no_face": "no face was found",
}


@dataclass(slots=True)
class Outcome:
    """One clip's result: a value to store when `status` is ok, else the reason in `detail`.

    `extra` becomes further columns of the account row (seconds, times, ...).
    """

    status: str = OK
    detail: str = ""
    value: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"unknown status {self.status!r}")
        self.detail = " ".join(str(self.detail).split())[:300]


def failed(status: str, detail: str) -> Outcome:
    """An outcome without a value."""
    return Outcome(status=status, detail=detail)
