"""Sound of a clip with the ffmpeg program, which runs the filters that pyav_sound runs in this process."""

import numpy as np

from pipeline.media.decoders import program
from pipeline.media.decoders.pyav_sound import PREROLL


def decode_sound(path: str, start: float, length: float, rate: int) -> np.ndarray:
    """Return mono samples (time,) int16 at `rate` Hz of a part of the file `path`; it may have none there.

    start, length: of the part, s; length is the maximum. Raises MediaError if the file cannot be decoded.
    """
    file_start = _read_start_time(path)
    clip_start = file_start + start
    # If the container may have sought beyond the clip's start, read the file from its beginning.
    for origin in (clip_start - PREROLL, None) if start > PREROLL else (None,):
        stream = program.open_input(path, **program.seek_options(origin, file_start))["a:0"]
        sound = (
            stream.filter("ashowinfo")
            .filter("atrim", start=f"{clip_start:.6f}", end=f"{clip_start + length:.6f}")
            .filter("asetpts", f"PTS-({clip_start:.6f})/TB")  # the clip's start becomes 0
            .filter("aresample", rate, **{"async": 1, "first_pts": 0})
            .filter("aformat", sample_fmts="s16", channel_layouts="mono")
            .filter("asetnsamples", rate // 2, p=0)
            .output("pipe:1", format="nut", acodec="pcm_s16le")
        )
        output = program.run(path, 8 * round(length * rate) + program.OVERHEAD, sound)
        first = output.find(r"\[Parsed_ashowinfo\S* @ \S+ n: *0 pts:\S+ pts_time:(-?[\d.]+)")
        if origin is None or first is None or float(first[1]) <= clip_start:
            break
    samples = _join_frames(output, rate)[: round(length * rate)]
    if not len(samples) and first is None:
        raise program.explain(path, output.log, "audio")
    return samples


def _read_start_time(path: str) -> float:
    """Return the time stamp at which the container of the file `path` starts, s.

    Raises MediaError if it has no sound, or cannot be opened.
    """
    header = program.run(
        path, program.OVERHEAD, program.open_input(path)["a:0"].output("-", format="null", c="copy", t=0)
    )
    if not header.container_format or any("matches no streams" in line for line in header.log):
        raise program.explain(path, header.log, "audio")
    return header.start_time or 0.0


def _join_frames(output: program.Output, rate: int) -> np.ndarray:
    """Return the samples of the program's frames, (time,) int16.

    The filters begin anew, at 0, where a broadcast changes its format. The silence that they put in place of
    what came before is left out.
    """
    parts: list[np.ndarray] = []
    n_samples = 0
    for frame in output.frames():
        samples = frame.to_ndarray().ravel()
        start = round((frame.time or 0.0) * rate)
        parts.append(samples[max(0, n_samples - start) :])
        n_samples += len(parts[-1])
    return np.concatenate(parts) if parts else np.empty(0, np.int16)
