"""Are the synthetic people honest? Do identity and emotion need more than a mean colour or a mean pitch?

`python -m benchmarks.people [--yunet MODEL.onnx]` renders the default clips of `data.source: people`, prints
a line for each of the following and keeps them in benchmarks/results/people.json:

- in how many a face is found in the middle frame (360 x 288), and in how many ms on one core, by OpenCV's
  Haar cascade and, where its model is given, by YuNet;
- how often logistic regression tells the emotion, and the person, from a mean colour (of the picture, and of
  its middle), from mean pitch and loudness, and from all of these: five folds at random, and for the emotion
  by person too;
- the same from what a network would look at: a small grey face, and mean and spread of MFCCs.

Exit status 1 where a face is found in less than 95%, or where a mean tells more than 0.6 of what a face or
MFCCs tell. docs/pictures/people.jpg is written anew.
"""

import io
import sys
import time
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import av
import cv2
import librosa
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import result_files
from pipeline.config import ROOT, read
from pipeline.media.faces import cut_face, largest_face, load_detector
from pipeline.sources import people

SHEET, N_PEOPLE_IN_SHEET = Path("docs/pictures/people.jpg"), 6  # people
MIN_DETECTION_RATE = 0.95
PART = 0.6  # of what a face or MFCCs tell, at most, may a mean tell
FOLDS = 5
SIDE = 20  # pixels of the small face


def measure_clip(name: str, seed: int, yunet: str | None) -> dict:
    """What there is to know of one clip."""
    with av.open(io.BytesIO(people.render(name, seed))) as file:
        frames, waves, rate = [], [], people.voice.RATE
        for frame in file.decode():
            if isinstance(frame, av.VideoFrame):
                frames.append(frame.to_ndarray(format="rgb24"))
            else:
                waves.append(frame.to_ndarray()[0])
    picture, sound = frames[len(frames) // 2], np.concatenate(waves)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    start = time.process_time()
    face = largest_face(load_detector(None)(picture))
    features: dict = {"haar": face is not None, "haar ms": 1000 * (time.process_time() - start)}
    if yunet:
        start = time.process_time()
        features["yunet"] = bool(load_detector(yunet)(picture))
        features["yunet ms"] = 1000 * (time.process_time() - start)
    h, w = grey.shape
    box = face.box if face else (0.35, 0.3, 0.3, 0.3 * w / h)
    small = cut_face(picture, box, SIDE, 0.0).mean(2)
    middle = picture[h // 4 : -h // 4, w // 3 : -w // 3].reshape(-1, 3)
    rms = librosa.feature.rms(y=sound, hop_length=512)[0]
    f0 = librosa.yin(sound, fmin=70, fmax=500, sr=rate, hop_length=512)[: len(rms)]
    voiced = rms[: len(f0)] > 0.3 * rms.max()
    mfcc = librosa.feature.mfcc(y=sound, sr=rate, n_mfcc=20)
    return features | {
        "picture": picture,
        "mean colour": picture.reshape(-1, 3).mean(0),
        "mean colour of the middle": middle.mean(0),
        "mean pitch and loudness": np.array([np.log2(f0[voiced]).mean(), np.log10(rms.mean())]),
        "small grey face": (small - small.mean()).ravel() / (small.std() + 1),
        "MFCC": np.r_[mfcc.mean(1), mfcc.std(1)],
    }


def main() -> int:
    parser = ArgumentParser(prog="python -m benchmarks.people")
    parser.add_argument("--yunet", help="YuNet's .onnx file")
    yunet = parser.parse_args().yunet
    data = read(ROOT / "params.yaml").data
    rows = people.clips(data).table.to_pylist()
    with ProcessPoolExecutor() as pool:
        measure = partial(measure_clip, seed=data.people.seed, yunet=yunet)
        clips = list(pool.map(measure, [row["clip_id"] for row in rows], chunksize=8))
    result: dict = {"clips": len(rows), "people": data.people.people}
    for kind in ("haar", "yunet"):
        if kind in clips[0]:
            ms = round(float(np.median([c[f"{kind} ms"] for c in clips])), 1)
            result[kind] = {"found": float(np.mean([c[kind] for c in clips])), "ms": ms}
            print(f"{kind}: a face in {result[kind]['found']:.1%} of {len(rows)} clips, {ms} ms a frame")
    first = {
        (row["subject"], row["emotion"]): c["picture"] for row, c in zip(rows[::-1], clips[::-1], strict=True)
    }
    people_in_sheet = sorted({row["subject"] for row in rows})[:N_PEOPLE_IN_SHEET]
    kinds = sorted({row["emotion"] for row in rows})
    sheet = np.vstack(
        [np.hstack([first[person, kind][:, 30:330] for kind in kinds]) for person in people_in_sheet]
    )
    small = cv2.resize(sheet, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(SHEET), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    means = ["mean colour", "mean colour of the middle", "mean pitch and loudness"]
    sets = {name: [name] for name in means} | {"all of these": means}
    sets |= {name: [name] for name in ("small grey face", "MFCC")}
    subjects = np.array([row["subject"] for row in rows])
    questions = {
        "emotion": (
            np.array([row["emotion"] for row in rows]),
            StratifiedKFold(FOLDS, shuffle=True, random_state=0),
        ),
        "emotion, by person": (np.array([row["emotion"] for row in rows]), GroupKFold(FOLDS)),
        "person": (subjects, StratifiedKFold(FOLDS, shuffle=True, random_state=0)),
    }
    good = result["haar"]["found"] >= MIN_DETECTION_RATE
    for question, (labels, folds) in questions.items():
        chance = 1 / len(set(labels))
        result[question] = {"chance": chance}
        for name, parts in sets.items():
            x = np.stack([np.concatenate([np.ravel(c[p]) for p in parts]) for c in clips])
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.3))
            groups = subjects if isinstance(folds, GroupKFold) else None
            score = float(cross_val_score(model, x, labels, groups=groups, cv=folds).mean())
            result[question][name] = round(score, 3)
            print(f"{question} from {name}: {score:.3f} (chance {chance:.3f})")
        best = max(result[question]["small grey face"], result[question]["MFCC"])
        good &= max(result[question][name] for name in means) <= PART * best
    result_files.save("people", result)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
