"""Write the FLV files (FLV1 video, MP3 sound) of the synthetic sources."""

import io

import av
import numpy as np


def encode_flv(
    frames: list[np.ndarray] | None,
    fps: int,
    waves: np.ndarray | None,
    rate: int,
    bit_rates: tuple[int, int] = (500_000, 64_000),
) -> bytes:
    """Return the bytes of an FLV file of pictures and sound. One of the two may be None: it is left out.

    frames: each (height, width, 3) uint8 RGB, `fps` of them a second. waves: (time,) float32 in -1..1, at
    `rate` Hz. bit_rates: of the picture and the sound, bit/s. The bytes are the same in every run: one
    thread, FFmpeg's bit-exact mode, no version strings.
    """
    file = io.BytesIO()
    exact = {"flags": "+bitexact", "threads": "1"}
    with av.open(file, "w", format="flv", options={"fflags": "+bitexact"}) as container:
        # Both streams are added before the first packet is written: the file's header lists them.
        video = audio = None
        if frames is not None:
            video = container.add_stream("flv", rate=fps, options=exact)
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = "yuv420p"
            video.bit_rate = bit_rates[0]
            video.gop_size = fps  # a keyframe every second
        if waves is not None:
            audio = container.add_stream(
                "libmp3lame",
                rate=rate,
                layout="mono",
                format="fltp",
                options=exact | {"compression_level": "7"},
            )
            audio.bit_rate = bit_rates[1]
        packets = []
        if video and frames is not None:
            for k, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = k
                packets += video.encode(frame)
            packets += video.encode()  # without a frame: what the encoder still holds
        if audio and waves is not None:
            sound = av.AudioFrame.from_ndarray(waves[None], format="fltp", layout="mono")
            sound.sample_rate = rate
            sound.pts = 0
            packets += [*audio.encode(sound), *audio.encode()]
        timed_packets = [packet for packet in packets if packet.dts is not None]
        for packet in sorted(timed_packets, key=lambda p: (p.dts or 0) * p.time_base):  # by time in s
            container.mux(packet)
    return file.getvalue()
