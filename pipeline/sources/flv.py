"""Write the FLV files (FLV1 video, MP3 sound) of the synthetic sources."""

import io

import av
import numpy as np


def encode(frames: list[np.ndarray] | None, fps: int, waves: np.ndarray | None, rate: int) -> bytes:
    """Return an FLV file of pictures and sound, of which one may be None.

    frames: uint8 RGB (height, width, 3), fps a second. waves: (time,) float32 in -1..1, at `rate` Hz.
    The bytes are always the same: one thread, FFmpeg's bit-exact mode, no version strings.
    """
    file = io.BytesIO()
    exact = {"flags": "+bitexact", "threads": "1"}
    with av.open(file, "w", format="flv", options={"fflags": "+bitexact"}) as out:
        video = audio = None
        if frames is not None:
            video = out.add_stream("flv", rate=fps, options=exact)
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = "yuv420p"
            video.bit_rate = 500_000
            video.gop_size = fps
        if waves is not None:
            audio = out.add_stream("libmp3lame", rate=rate, layout="mono", format="fltp", options=exact)
            audio.bit_rate = 64_000
        packets = []
        if video and frames is not None:
            for k, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = k
                packets += video.encode(frame)
            packets += video.encode()
        if audio and waves is not None:
            sound = av.AudioFrame.from_ndarray(waves[None], format="fltp", layout="mono")
            sound.sample_rate, sound.pts = rate, 0
            packets += [*audio.encode(sound), *audio.encode()]
        for packet in sorted(
            (p for p in packets if p.dts is not None), key=lambda p: (p.dts or 0) * p.time_base
        ):
            out.mux(packet)
    return file.getvalue()
