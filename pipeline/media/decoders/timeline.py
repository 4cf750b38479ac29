"""Which frames a clip consists of, and which of them are selected: from the time stamps of packets.

Packets are read without decoding. Their time stamps tell when the video really begins and ends and when each
frame is shown: frame rates vary, headers may be wrong, indexes may be missing.
"""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from pipeline.media.files import MediaError
from pipeline.store.status import Outcome

TICK = 1e-3  # s: resolution of time stamps in FLV, Matroska and WebM
UNSTEADY_PREROLL = 2.0  # s to read before a clip if time stamps depend on where reading begins
# s before the target of a seek, tried in turn: some containers seek to a keyframe after the target.
SEEK_PREROLLS = (0.0, 1.0, 4.0, 16.0)
DEFAULT_FRAME_DURATION = 0.04  # s, if a stream has no frame rate
SLACK = 1.0  # s to read past a clip's end if packets have no decoding times: frames may be reordered

Picture = TypeVar("Picture")


class PacketInfo(NamedTuple):
    """What a packet, which holds one frame, says about it."""

    time: float  # when its display begins, s
    duration: float  # s
    is_keyframe: bool


@dataclass
class Timeline:
    """The frames of a part of a video, from its packets.

    times: when the display of each frame begins, as time stamps of the container, s, sorted. is_keyframe: for
    each frame. end: when the display of the last frame ends, s. origin: the time stamp from which the file
    was read, s; None: from its beginning.
    """

    times: list[float]
    is_keyframe: list[bool]
    end: float
    origin: float | None

    def select(self, name: str, clip_start: float, length: float, n: int) -> tuple[float, list[int]]:
        """Return the duration of the clip's video, s, and the numbers of the `n` frames that stand for it.

        A number may occur several times. name: of the file. clip_start: as a time stamp of the container, s.
        length: the maximum duration, s. Raises MediaError if no frame is shown during the clip.
        """
        seconds = min(length, self.end - clip_start)
        if self.times and seconds <= 0:
            raise MediaError(
                "too_short", f"{name}: the picture ends {-seconds:.2f} s before the clip's start"
            )
        targets = [clip_start + seconds * (i + 0.5) / n for i in range(n)]
        return seconds, [last_index_until(self.times, target + TICK) for target in targets]

    def combine(
        self, name: str, pictures: dict[int, Picture], selected: list[int], clip_start: float, seconds: float
    ) -> Outcome:
        """Return the outcome of a clip, whose value is a list of pictures.

        pictures: frame number -> picture, without damaged frames. The other arguments are those of `select`
        and what it returns. Raises MediaError if there are no pictures.
        """
        if not pictures:
            raise MediaError("corrupt", f"{name}: no picture can be decoded")
        # A damaged frame is replaced by the decoded one before it; at the very start, by the next one.
        decoded = sorted(pictures)
        numbers = [decoded[last_index_until(decoded, number)] for number in selected]
        times = [self.times[number] - clip_start for number in numbers]
        return Outcome(
            value=[pictures[number] for number in numbers], extra={"seconds": seconds, "times": times}
        )


def still_picture(picture: Picture, length: float, n: int) -> Outcome:
    """Return an outcome whose value is a list of `n` times a picture, which is shown for `length` s."""
    times = [length * (i + 0.5) / n for i in range(n)]
    return Outcome(value=[picture] * n, extra={"seconds": length, "times": times})


def read_timeline(
    read_packets: Callable[[float | None], list[PacketInfo]],
    first: float,
    last: float,
    file_start: float,
    is_steady: bool,
) -> Timeline:
    """Return the frames that are shown from `first` to `last` (s).

    read_packets: returns the packets from the keyframe before a time (None: the file's beginning) to `last`,
    and at least one more if there is one. file_start: the container's first time stamp, s. is_steady: whether
    a frame has the same time stamp wherever reading begins (`has_steady_times`).
    """
    for preroll in SEEK_PREROLLS if is_steady else (UNSTEADY_PREROLL,):
        origin = first - preroll if first - preroll > file_start else None
        packets = read_packets(origin)
        if origin is None or (packets and packets[0].time <= first):
            break
    else:  # all of them began after `first`
        origin = None
        packets = read_packets(None)
    packets.sort()  # by time: packets are in the order of decoding
    # The last frame before `first` is shown until the next one.
    packets = packets[last_index_until([packet.time for packet in packets], first + TICK) :]
    visible = [packet for packet in packets if packet.time < last]
    if not visible:
        return Timeline([], [], first, origin)
    if len(packets) > len(visible):
        end = packets[len(visible)].time  # the next frame replaces the last one
    else:
        end = visible[-1].time + visible[-1].duration
    times = [packet.time for packet in visible]
    return Timeline(times, [packet.is_keyframe for packet in visible], end, origin)


def has_steady_times(container_format: str) -> bool:
    """Return whether a frame has the same time stamp wherever reading of such a container begins.

    Not in an MPEG program stream: there, a packet with a time stamp holds several frames. After a seek, time
    stamps are wrong by one frame until the next such packet. So it is read and decoded from one position.
    container_format: ffmpeg's name.
    """
    return container_format != "mpeg"


def last_index_until(sorted_values: Sequence[float], limit: float) -> int:
    """Return the index of the last value that is not greater than `limit`; 0 if all are greater."""
    return max(0, bisect.bisect_right(sorted_values, limit) - 1)
