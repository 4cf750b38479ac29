"""The outcome of one clip in one stage: a value, or one of a closed list of reasons why there is none."""

from dataclasses import dataclass, field
from typing import Any

OK = "ok"
NO_SOURCE = "no_source"
STATUSES = {  # status of a clip -> what it means
    "ok": "the clip has a value",
    "no_audio": "the file has no sound track",
    "no_video": "the file has no picture track",
    "too_short": "the clip has no sound or no picture, or less than a window of both",
    "corrupt": "the file cannot be decoded",
    "unreadable": "the file cannot be read",
    "refused": "a playlist, a format that is not supported, or an invalid URL",
    "unavailable": "the video does not exist, or is not public",
    "private": "the video is private",
    "region": "the video is not shown in this country",
    "age": "the video is for adults: it needs an account (download.cookies)",
    "removed": "the video was taken down",
    "network": "the network or the server failed, or the server limits the rate",
    "cut_short": "the download ended before its end",
    "crashed": "the decoder crashed on this clip",
    "timeout": "the decoder ran longer than engine.timeout",
    "no_face": "no face was detected",
    NO_SOURCE: "nothing in view makes the sound: only localization is measured on the clip",
    # Only with quality.drop:
    "silent": "the sound is silent",
    "quiet": "the sound is very quiet",
    "clipped": "the sound is clipped",
    "narrow": "the sound lacks high frequencies",
    "still": "the picture does not move",
    "black": "the picture is black",
    "letterboxed": "the picture has black bars",
    "cuts": "the picture has cuts",
    "short": "the clip is shorter than what was asked for",
    "duplicate": "the sound or the picture recurs from an earlier clip",
}


MAX_DETAIL_LENGTH = 300  # characters


@dataclass(slots=True)
class Outcome:
    """The outcome of one clip in one stage.

    status: a key of STATUSES: `ok`, or why there is no value.
    detail: more about the reason, for people: one line of at most 300 characters.
    value: to be stored; None unless the status is ok.
    extra: values of further columns of the clip's index row, by their names (seconds, times, ...).
    """

    status: str = OK
    detail: str = ""
    value: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"unknown status {self.status!r}")
        self.detail = " ".join(str(self.detail).split())[:MAX_DETAIL_LENGTH]


def failed(status: str, detail: str) -> Outcome:
    """Return the outcome of a clip that has no value. status: a key of STATUSES. detail: the reason."""
    return Outcome(status=status, detail=detail)
