"""Make what the documentation's commands are tried on: python .ci/docs_data.py FOLDER PROJECT.

Writes media that the project renders, laid out as people have them: into FOLDER/my, FOLDER/data, and PROJECT.
"""

import itertools
import json
import sys
from pathlib import Path

import av
import cv2
import numpy as np

FOLDER, PROJECT = map(Path, sys.argv[1:])
sys.path.insert(0, str(PROJECT))

from pipeline.config import read  # noqa: E402
from pipeline.media.wav import write_wav  # noqa: E402
from pipeline.sources import ensemble, people  # noqa: E402
from testing.archives import write_tar  # noqa: E402

CLIPS = 24
LABELS = ("bell", "flute")
EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
RATE = 16_000
DIGITS = Path(__file__).resolve().parents[2] / "shared/digits"  # real ones, where they are


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def jpg(video: Path) -> bytes:
    with av.open(str(video)) as file:
        picture = next(file.decode(video=0)).to_ndarray(format="bgr24")
    return cv2.imencode(".jpg", picture)[1].tobytes()


def wav(video: Path) -> bytes:
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(str(video)) as file:
        parts = [p.to_ndarray()[0] for frame in file.decode(audio=0) for p in resampler.resample(frame)]
    return write_wav(np.concatenate(parts), RATE)


data = read(PROJECT / "params.yaml").data
whole = data.ensemble.model_copy(update={"broken": 0.0})
data = data.model_copy(update={"clip_seconds": 1.5, "ensemble": whole})
for i in range(CLIPS):
    film = ensemble.render(i, data)
    for folder in (FOLDER / "my/videos", PROJECT / "videos"):
        write(folder / LABELS[i % 2] / f"a video {i}.flv", film)
    write(FOLDER / f"data/VGGSound/video/-{i:010d}_{10 * i:06d}.mp4", film)
    write(FOLDER / f"data/AVE_Dataset/AVE/-{i:010d}.mp4", film)
    write(FOLDER / f"data/MUSIC/{LABELS[i % 2]}/-{i:010d}.mp4", film)
    write(FOLDER / f"data/Kinetics/-{i:010d}_{10 * i:06d}_{10 * i + 10:06d}.mp4", film)
    video = FOLDER / f"my/videos/{LABELS[i % 2]}/a video {i}.flv"
    for label in LABELS:
        write(FOLDER / f"my/sounds/{label}/{label} {i}.wav", wav(video))
    for digit in (3, 7):
        real = DIGITS / f"clips/{digit}_{('george', 'jackson')[i // 12]}_{i % 12}.flv"
        digit_video = real if real.exists() else video
        write(FOLDER / f"data/digits/sounds/digit {digit}/{i}.wav", wav(digit_video))
        write(FOLDER / f"data/digits/pictures/digit {digit}/{i}.jpg", jpg(digit_video))
videos = [f"-{i:010d}" for i in range(CLIPS)]
splits = [("test", "val", "train", "train")[i % 4] for i in range(CLIPS)]
rows = [
    f"{v},{10 * i},{LABELS[i % 2]},{'test' if splits[i] == 'test' else 'train'}\n"
    for i, v in enumerate(videos)
]
write(FOLDER / "data/VGGSound/vggsound.csv", "".join(rows).encode())
events = [f"{LABELS[i % 2]}&{v}&good&0&2\n" for i, v in enumerate(videos)]
write(FOLDER / "data/AVE_Dataset/Annotations.txt", "".join(events).encode())
for split in ("train", "val", "test"):
    lines = [event for event, s in zip(events, splits, strict=True) if s == split]
    write(FOLDER / f"data/AVE_Dataset/{split}Set.txt", "".join(lines).encode())
instruments = {label: videos[k::2] for k, label in enumerate(LABELS[:2])}
write(FOLDER / "data/MUSIC/MUSIC_solo_videos.json", json.dumps({"videos": instruments}).encode())
rows = [f"{LABELS[i % 2]},{v},{10 * i},{10 * i + 10},{splits[i]}\n" for i, v in enumerate(videos)]
header = "label,youtube_id,time_start,time_end,split\n"
write(FOLDER / "data/Kinetics/kinetics.csv", "".join([header, *rows]).encode())
for number in range(2):
    films = sorted((FOLDER / "data/VGGSound").rglob("*.mp4"))[number::2]
    write_tar(write(FOLDER / f"data/tars/{number:03d}.tar", b""), [(p.name, p.read_bytes()) for p in films])
write(PROJECT / "holiday.mp4", film)
write(PROJECT / "videos/holiday.mp4", film)

for i in range(CLIPS):
    person, sentence = i % 4, ("IEO", "DFA")[i // 12]
    name = f"{1001 + person}_{sentence}_{EMOTIONS[i % 6]}_LO"
    talk = write(FOLDER / f"data/CREMA-D/{name}.flv", people.render(name, 0))
    recording = f"person{person}/recording{i // 4}"
    write(FOLDER / f"data/VoxCeleb1/unzippedFaces/{recording}/0.jpg", jpg(talk))
    write(FOLDER / f"data/VoxCeleb1/wav/{recording}/0.wav", wav(talk))
voices = [f"person{k}/recording{r}/0.wav" for k in (2, 3) for r in range(CLIPS // 4)]
trials = [f"{int(a[:7] == b[:7])} {a} {b}\n" for a, b in itertools.combinations(voices, 2)]
write(FOLDER / "data/VoxCeleb1/veri_test2.txt", "".join(trials).encode())
write(PROJECT / "bell.wav", wav(talk))
write(PROJECT / "bell.jpg", jpg(talk))
