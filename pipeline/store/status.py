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
    "unreadable": "the file cannot be read",
    "refused": "a playlist, a format that is not read, or an address that is none",
    "unavailable": "there is no such video, or none that everybody may see",
    "private": "the video is private",
    "region": "the video is not shown in this country",
    "age": "the video is for adults: it needs an account (download.cookies)",
    "removed": "the video was taken down",
    "network": "the network or the server failed, or asked for patience",
    "cut_short": "the download ended before its end",
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
