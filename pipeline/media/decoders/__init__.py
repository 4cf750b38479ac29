"""Two decoders of the sound and the frames of a file: PyAV in this process, and the ffmpeg program.

Both take the same part of a file, and refuse the same files. `pyav_sound` and `pyav_frames`: PyAV, which
comes with its own libraries of ffmpeg. `program_sound` and `program_frames`: the program that the system or
EARSIGHT_FFMPEG gives; `program` runs it. `timeline`: which frames of a video a clip consists of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.media import ffmpeg
from pipeline.media.files import MediaError
from pipeline.store.status import OK, Outcome

# Statuses of a file that the other decoder may be able to decode. Both refuse what is refused for safety.
RETRIED = ("corrupt", "refused")


@dataclass(frozen=True)
class Decoding:
    """How files are decoded: the section `media` of params.yaml, with its defaults.

    decoder: "pyav" or "ffmpeg". retry: whether a file that this decoder cannot decode goes to the other one.
    """

    decoder: str = "pyav"
    retry: bool = False


PYAV = Decoding()


def check_program(decoding: Any) -> None:
    """Raise UserError if the ffmpeg program may be needed, and there is none. decoding: as for `decode`."""
    if decoding.decoder == "ffmpeg" or decoding.retry:
        ffmpeg.binary()


def decode(decoding: Any, decoders: dict[str, Callable[[], Outcome]]) -> Outcome:
    """Return the outcome of a clip: of the decoder `decoding.decoder`, or of the other one if that succeeds.

    decoding: a Decoding, or the section of params.yaml. decoders: name -> function that decodes the clip, and
    raises MediaError if it cannot. Both are there.
    """
    outcome = _outcome(decoders[decoding.decoder])
    if decoding.retry and outcome.status in RETRIED:
        [other] = decoders.keys() - {decoding.decoder}
        second = _outcome(decoders[other])
        if second.status == OK:
            return second
    return outcome


def _outcome(decoder: Callable[[], Outcome]) -> Outcome:
    """Return the outcome of a decoder, a failed one if it raises MediaError."""
    try:
        return decoder()
    except MediaError as e:
        return e.outcome
