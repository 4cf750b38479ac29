"""The way people do it now, one clip after the other: ffmpeg to a WAV file, librosa to a mel spectrogram,
OpenCV to the middle frame. `python -m benchmarks.usual FOLDER ROWS FILM ...` prints its cost as JSON.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import cv2
import librosa
import numpy as np

from pipeline.config import read
from pipeline.media import ffmpeg

STEPS = ("wav", "spectrogram", "frames")


def main(folder: Path, rows: int, films: list[str]) -> dict:
    """Seconds of each step and of the processor, over `rows` clips. Imports and a first clip do not count."""
    params = read("params.yaml")
    for number, path in enumerate(films[:1]):
        one(folder, number, path, params, dict.fromkeys(STEPS, 0.0))
    spent = dict.fromkeys(STEPS, 0.0)
    cpu, began = _cpu(), time.perf_counter()
    for number in range(rows):
        one(folder, number, films[number % len(films)], params, spent)
    return {"wall": time.perf_counter() - began, "cpu": _cpu() - cpu, **spent}


def one(folder: Path, number: int, film: str, params, spent: dict[str, float]) -> None:
    """One clip, its results saved as files of their own."""
    audio, video = params.audio, params.video
    marks = [time.perf_counter()]
    wav = str(folder / f"{number}.wav")
    rate = str(audio.sample_rate)
    command = [ffmpeg.binary(), "-y", "-loglevel", "error", "-i", film, "-ac", "1", "-ar", rate, wav]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    marks.append(time.perf_counter())

    sound, rate = librosa.load(wav, sr=audio.sample_rate)
    power = librosa.feature.melspectrogram(
        y=sound,
        sr=rate,
        n_fft=audio.n_fft,
        win_length=audio.win_length,
        hop_length=audio.hop_length,
        n_mels=audio.n_mels,
        fmin=audio.fmin,
        fmax=audio.fmax,
    )
    np.save(folder / f"{number}-mel.npy", librosa.power_to_db(power))
    marks.append(time.perf_counter())

    capture = cv2.VideoCapture(film)
    capture.set(cv2.CAP_PROP_POS_FRAMES, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) // 2)
    _, picture = capture.read()
    capture.release()
    np.save(folder / f"{number}-frame.npy", cv2.resize(picture, (video.width, video.height)))
    marks.append(time.perf_counter())
    for step, start, end in zip(STEPS, marks, marks[1:], strict=False):
        spent[step] += end - start


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
