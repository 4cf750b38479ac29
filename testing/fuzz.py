"""Broken media through the data stages: does every file come out as data or as a row that says why not?"""

import json
import random
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from pipeline.config import ROOT, data_stages, stage_entry
from pipeline.store.formats import read_table
from pipeline.store.locations import is_member, parse
from pipeline.store.shards import read_index
from pipeline.store.status import OK, STATUSES
from testing import archives, commands, mutants

# Towers are switched off here.
STAGES = {name: folder for name, folder in data_stages().items() if not name.endswith("_towers")}
DECODE = tuple(stage for stage in STAGES if STAGES["download"] in stage_entry(stage)["deps"])
GOOD = "good"  # those that nothing was done to
WORKERS = 2
TIMEOUT = 10.0  # s, engine.timeout
SHARD = 16
BOUND = 1 << 30  # bytes that one process may hold: a picture of 8192 x 8192 takes up to half of that
UNSEEN = (
    "h264",
    "hevc",
    "swf",
    "webp-moving",
)  # ffmpeg gives no times to their pictures, or cannot decode them
LOST = ("crashed", "timeout")


class Note(NamedTuple):
    """A line of testing/timed.py."""

    clip: str
    seconds: float
    process: int
    held: int


def make(folder: Path, files: int, seed: int) -> None:
    """`files` broken ones in `folder`, `<container>/<mutation>-<number>.<extension>`; and a good one each."""
    good = mutants.encode_files()
    kinds, ways = list(good), list(mutants.MUTATIONS)
    rng = random.Random(seed)
    pairs = [(kind, way) for kind in kinds for way in ways]
    rng.shuffle(pairs)
    for kind in kinds:
        (folder / kind.name).mkdir(parents=True)
        (folder / kind.name / f"{GOOD}.{kind.extension}").write_bytes(good[kind])
    for number in range(files):
        kind, way = pairs[number % len(pairs)]
        mine = random.Random(f"{seed} {number}")  # each by itself, however many there are
        other = good[mine.choice(kinds)]
        content = mutants.MUTATIONS[way](good[kind], mine, other)
        (folder / kind.name / f"{way.replace(' ', '_')}-{number}.{kind.extension}").write_bytes(content)


def pack(folder: Path) -> None:
    """Put the files of `videos` into videos.tar, and delete them."""
    paths = sorted((folder / "videos").rglob("*.*"))
    members = [(str(path.relative_to(folder / "videos")), path.read_bytes()) for path in paths]
    archives.write_tar(folder / "videos.tar", members)
    shutil.rmtree(folder / "videos")


def parameters(folder: Path, decoder: str, in_tar: bool) -> None:
    source = {"data.source": "archive", "data.archives": "videos.tar"} if in_tar else {}
    knobs = {
        "data.source": "folder",
        "data.folder": "videos",
        "data.clip_seconds": 1.0,
        "data.per_file": 1,  # a broken header may claim a long duration: it would make many clips
        "data.shard_size": SHARD,
        "engine.workers": WORKERS,
        "engine.timeout": TIMEOUT,
        "media.decoder": decoder,
        "video.frames": 3,
        "video.height": 64,
        "video.width": 64,
        "audio.window_seconds": 0.5,
        "faces.enabled": True,
        "faces.frames": "every",
        "faces.size": 48,
        "faces.align": True,
    }
    commands.set_params(folder, knobs | source)
    (folder / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())


def run(folder: Path, files: int, seed: int, decoder: str = "pyav", in_tar: bool = False) -> dict:
    """The figures; what is wrong stands under `broken`, nothing where all is well."""
    make(folder / "videos", files, seed)
    paths = sorted(p.relative_to(folder) for p in (folder / "videos").rglob("*.*"))
    if in_tar:
        pack(folder)
    peaks, notes, broken = {}, {}, []
    parameters(folder, decoder, in_tar)
    for name in ("clips", *STAGES):
        if fault := stage(folder, name, files, peaks):
            return {"broken": [fault]}
        path = folder / f"{name}.notes"
        lines = path.read_text().splitlines() if path.exists() else []
        notes[name] = [Note(*json.loads(line)) for line in lines]
    rows = read_table(folder / "data/clips.parquet").to_pylist()
    accounts = {name: read_index(folder / where).to_pylist() for name, where in STAGES.items()}
    names = {row["clip_id"]: path_of(row["audio"] or row["video"]) for row in rows}
    if sorted(names.values()) != paths:
        broken.append(f"{len(paths)} files, of which {len(names)} are clips")
    broken += wrong(accounts, names, decoder)
    result = counts(accounts, names) | costs(names, peaks, notes)
    if result["longest_s"]["seconds"] > TIMEOUT:
        broken.append(f"{result['longest_s']}: more than {TIMEOUT:g} s")
    if max(result["peak_mb"][role] for role in ("parent", "worker")) > BOUND / 1e6:
        broken.append(f"{result['peak_mb']}: more than {BOUND / 1e6:.0f} MB")
    broken += again(folder, files)
    about = {
        "files": files,
        "seed": seed,
        "decoder": decoder,
        "in_tar": in_tar,
        "good_files_beside_them": len(mutants.KINDS),
        "bounds": {"seconds_a_file": TIMEOUT, "mb_a_process": round(BOUND / 1e6)},
        "broken": broken,
    }
    return about | result


def path_of(location: str) -> Path:
    """Of the file at a location of the clip table, before it was packed."""
    return Path("videos", parse(location).name) if is_member(location) else Path(location)


def stage(folder: Path, name: str, files: int, peaks: dict) -> str:
    """Run one; what went wrong, if anything."""
    limit = 120 + files * TIMEOUT / 4  # s, for all together
    start = f"{sys.executable} -c 'from testing.timed import main; main()'"
    words = f"exec {start} {name} {name}.notes {limit} 2>{name}.said"
    try:
        peaks[name] = commands.measure_command(folder, ["bash", "-c", words], watch=True).peaks
    except RuntimeError as e:
        return f"{name}: {e}: " + (folder / f"{name}.said").read_text()
    return (folder / f"{name}.said").read_text()


def again(folder: Path, files: int) -> list[str]:
    """With one worker, so that each file comes after others than before: is every byte the same?"""
    commands.set_params(folder, {"engine.workers": 1})
    errors = []
    for name in DECODE:
        data = folder / STAGES[name]
        before = {p.name: p.read_bytes() for p in data.iterdir()}
        shutil.rmtree(data)
        if fault := stage(folder, name, files, {}):
            return [fault]
        now = {p.name: p.read_bytes() for p in data.iterdir()}
        if other := sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n)):
            errors.append(f"{name}: with one worker other bytes in {', '.join(other)}")
    return errors


def wrong(accounts: dict[str, list[dict]], names: dict[str, Path], decoder: str) -> list[str]:
    """What does not add up in the accounts of the stages."""
    errors = []
    for stage, rows in accounts.items():
        if [row["clip_id"] for row in rows] != list(names):
            errors.append(f"{stage}: the account has other clips than the table")
        for row in rows:
            name, status = names.get(row["clip_id"]), row["status"]
            if status not in STATUSES or (status != OK and not row["detail"]):
                errors.append(f"{stage}: {name}: {status} without a reason")
    for clip, path in names.items():
        if path.stem == GOOD:
            kind = next(k for k in mutants.KINDS if k.name == path.parent.name)
            for stage, stream in (("wav", kind.audio), ("spectrogram", kind.audio), ("frames", kind.video)):
                status = next(row["status"] for row in accounts[stage] if row["clip_id"] == clip)
                if stage == "frames" and kind.name in UNSEEN:
                    if decoder == "ffmpeg":
                        continue  # the program decodes some of them
                    stream = None
                if (status == OK) != bool(stream):
                    errors.append(f"{stage}: {path}: {status}, though nothing was done to it")
    return errors


def counts(accounts: dict[str, list[dict]], names: dict[str, Path]) -> dict:
    """How many broken files came out how: in all, by mutation, by container. And which crashed or hung."""
    all_, ways, kinds, lost = {}, {}, {}, []
    for stage in DECODE:
        for row in accounts[stage]:
            path, status = names[row["clip_id"]], row["status"]
            if path.stem == GOOD:
                continue
            way = path.stem.rsplit("-", 1)[0].replace("_", " ")
            for group in (all_, ways.setdefault(way, {}), kinds.setdefault(path.parent.name, {})):
                group.setdefault(stage, Counter())[status] += 1
            if status in LOST:
                lost.append(f"{stage}: {path.relative_to('videos')}: {row['detail']}")
    return {"outcomes": all_, "crashed_or_hung": lost, "by_mutation": ways, "by_container": kinds}


def costs(names: dict[str, Path], peaks: dict[str, dict[str, int]], notes: dict[str, list["Note"]]) -> dict:
    """The file that took longest, and the most that a process held."""
    noted = [(note, stage) for stage in DECODE for note in notes[stage]]
    slow, slow_in = max(noted, key=lambda n: n[0].seconds)
    most, most_in = max(noted, key=lambda n: n[0].held)
    after = next(n for n in notes[most_in] if n.process == most.process and n.held == most.held)
    held = {role: max(peak.get(role, 0) for peak in peaks.values()) / 1e6 for role in ("parent", "worker")}
    held["worker"] = max(held["worker"], most.held / 1e6)
    return {
        "longest_s": {"seconds": slow.seconds, "stage": slow_in, "file": _short(names[slow.clip])},
        "peak_mb": {role: round(mb, 1) for role, mb in held.items()}
        | {"stage": most_in, "file": _short(names[after.clip])},
    }


def _short(path: Path) -> str:
    return str(path.relative_to("videos"))
