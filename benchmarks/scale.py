"""What grows with the number of clips, without any media: `python -m benchmarks.scale [--rows N ...]`.

Each step in a process of its own, with 100,000, 1,000,000 and 10,000,000 rows: seconds and the largest
resident set. `growth` is the exponent between the last two: 1 is linear.

- `clips`: the clip table checked, described and written; `quality`: the measures of all clips to a table with
  flags, without the search for copies; `split`: the tables to splits.
- `first`, `again`: the engine on a step that does nothing, in shards of 1,024: all made, nothing to do.
- `load`: the data set as training has it.
- `copies`: the search for copies, on random codes as pictures (128 bits) and sounds (256 bits) have them: s
  of a core to build the index of so many codes, us of a query, and which share of copies it finds, one code
  each, of which a tenth or a fifth of the bits is changed.
- `status`: `dvc status` of a folder with so many shards (`--shards`), after a first one.
- `clip`: what a clip of 10 s as AudioSet has them costs in each stage, one worker, the start left out: ms of
  a core, and KB on disk; and clips a second that the default model learns from and embeds.

After `dvc repro` and `python -m benchmarks.overheads`. `--table` prints what follows from the kept results.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import films, result_files
from pipeline.config import ROOT, read
from pipeline.dataset import dataset
from pipeline.dataset.split import assign_splits
from pipeline.engine import runner
from pipeline.quality import search
from pipeline.quality.table import Groups, count_flags, count_loudness, make_table, read_measures
from pipeline.store import clip_table
from pipeline.store.atomic import write_table
from pipeline.store.formats import Arrays, read_table
from pipeline.store.shards import INDEX_SCHEMA, Shards, read_index
from pipeline.store.status import Outcome
from pipeline.store.summary import count_clips, count_labels
from testing import commands

RESULT = Path("benchmarks/results/scale.json")
STEPS = ("clips", "quality", "split", "first", "again", "load")
LABELS = 300
SIZE = 1024  # clips of a shard
STORE = Arrays((1, 2, 2), "<f2")


def nothing(rows: list[dict], values: list) -> list[Outcome]:
    """A step that costs nothing."""
    value = np.zeros(STORE.shape, STORE.dtype)
    return [Outcome(value=value, extra={"seconds": 10.0, "times": [5.0]}) for _ in rows]


def make_clip_table(count: int) -> pa.Table:
    """A clip table as a folder gives it."""
    ids = [f"clip-{i:08d}" for i in range(count)]
    paths = [f"media/{i % 1000:03d}/{name}.mp4" for i, name in enumerate(ids)]
    nulls = pa.nulls(count, pa.float64())
    return pa.table(
        [
            pa.array(ids),
            pa.array(paths),
            pa.array(paths),
            nulls,
            nulls,
            pa.array([[f"class {i % LABELS}"] for i in range(count)]),
            pa.nulls(count, pa.string()),
            pa.nulls(count, pa.string()),
        ],
        schema=clip_table.SCHEMA,
    )


def index(count: int, folder: Path, **more: tuple[pa.DataType, object]) -> None:
    """An index of a stage that brought everything out."""
    number = np.arange(count, dtype=np.int32)
    names = pa.array([f"clip-{i:08d}" for i in range(count)])
    digests = [f"{i:032x}" for i in range(count)]
    ok, blank = pa.array(["ok"] * count), pa.array([""] * count)
    columns = [names, number // SIZE, number % SIZE, ok, blank, pa.array(digests), pa.array(digests)]
    columns += [pa.array([value] * count, kind) for kind, value in more.values()]
    schema = pa.schema([*INDEX_SCHEMA, *(pa.field(name, kind) for name, (kind, _) in more.items())])
    folder.mkdir(parents=True, exist_ok=True)
    write_table(pa.table(columns, schema=schema), folder / "index.parquet")


def run_step(step: str, count: int, folder: Path) -> None:
    """A step as its stage does it."""
    params, data = read(ROOT / "params.yaml"), folder / "data"
    if step == "clips":
        table = clip_table.validate(make_clip_table(count), "here")
        data.mkdir(exist_ok=True)
        write_table(table, data / "clips.parquet")
        count_clips(table), count_labels(table)
    elif step == "quality":
        audio, video = read_index(data / "audio_quality"), read_index(data / "video_quality")
        measures = read_measures(audio, video, read_index(data / "frames"))
        nothing = np.full(count, -1)
        groups = Groups(nothing, nothing, nothing)
        clips = clip_table.read(data / "clips.parquet")
        table = make_table(clips, measures, groups, params.quality, params.audio.sample_rate, 10.0)
        write_table(table, data / "quality.parquet")
        count_flags(table), count_loudness(table)
    elif step == "split":
        accounts = read_index(data / "spectrogram"), read_index(data / "frames")
        clips = clip_table.read(data / "clips.parquet")
        quality = read_table(data / "quality.parquet", ["clip_id", "status", "detail", "group"])
        splits = assign_splits(clips, *accounts, params.split, 1.0, quality=quality)
        write_table(splits, data / "splits.parquet")
    elif step == "load":
        dataset.load(data, params.audio, params.video)
    else:
        shards = Shards(
            data / "nothing", STORE, (("seconds", pa.float64()), ("times", pa.list_(pa.float64())))
        )
        job = runner.Job("nothing", nothing, shards, "")
        rows = read_table(data / "clips.parquet").to_pylist()
        runner.run(job, rows, SIZE, SimpleNamespace(name="local", workers=2, timeout=600.0, storage=None))


def measure_step(step: str, count: int, folder: Path) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.scale", f"--one={step}", f"--rows={count}", f"--in={folder}"]
    line = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()[-1]
    return json.loads(line)


def rows(counts: list[int], steps: list[str]) -> dict:
    results: dict[str, dict] = {step: {} for step in steps}
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="earsight-scale-") as name:
            folder = Path(name)
            float64, several = pa.float64(), pa.list_(pa.float64())
            index(count, folder / "data/spectrogram", seconds=(float64, 10.0))
            index(count, folder / "data/frames", seconds=(float64, 10.0), times=(several, [5.0]))
            sound = {
                name: (float64, 0.5) for name in ("seconds", "silence", "loudness", "clipping", "bandwidth")
            }
            picture = {name: (float64, 0.5) for name in ("change", "motion", "black", "letterbox")}
            index(count, folder / "data/audio_quality", **sound)
            index(count, folder / "data/video_quality", **picture, cuts=(pa.int32(), 1))
            # The step `load` reads the shape of a spectrogram.
            np.save(folder / "data/spectrogram/00000.npy", np.zeros((1, 1, 64, 1000), np.float16))
            if "clips" not in steps:
                measure_step("clips", count, folder)  # the other steps read its table
            for step in steps:
                results[step][str(count)] = measure_step(step, count, folder)
                print(f"{step}, {count} rows: {results[step][str(count)]}", flush=True)
    if len(counts) > 1:
        few, many = counts[-2:]
        for costs in results.values():
            ratio = costs[str(many)]["s"] / costs[str(few)]["s"]
            costs["growth"] = round(math.log(ratio) / math.log(many / few), 2)
    return results


CODE_BYTES = {"picture": 16, "sound": 32}
QUERIES = 5000


def copies(counts: list[int]) -> dict:
    """The search for copies among so many codes."""
    results: dict[str, dict] = {}
    for kind, n_bytes in CODE_BYTES.items():
        for count in counts:
            words = [sys.executable, "-m", "benchmarks.scale", f"--one={n_bytes}", f"--rows={count}"]
            output = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT).stdout
            results.setdefault(kind, {})[str(count)] = json.loads(output.splitlines()[-1])
            print(f"copies, {count} codes of a {kind}: {results[kind][str(count)]}", flush=True)
    return results


def search_copies(n_bytes: int, count: int) -> dict[str, float]:
    """Build an index of random codes and search copies of some, with one thread."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (count, n_bytes), np.uint8)
    start = time.process_time()
    codes_index = search.build(codes)
    result = {"build_s": round(time.process_time() - start, 1)}
    rows = rng.choice(count, QUERIES, replace=False)
    for share in (0.1, 0.2):
        changes = np.packbits(rng.random((QUERIES, 8 * n_bytes)) < share, axis=1)
        start = time.process_time()
        pairs = [*search.search(codes_index, codes[rows] ^ changes, 8 * n_bytes)]
        result["query_us"] = round(1e6 * (time.process_time() - start) / QUERIES, 1)
        n_found = sum(len(np.unique(query[rows[query] == row])) for query, row in pairs)
        result[f"recall_{share}"] = round(n_found / QUERIES, 3)
    return result


def status(counts: list[int]) -> dict:
    """`dvc status` of a folder of shards that DVC has seen."""
    results: dict[str, dict] = {}
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="earsight-scale-") as name:
            folder = Path(name)
            (folder / "shards").mkdir()
            block = np.random.default_rng(0).bytes(100_000)
            for i in range(count):
                (folder / f"shards/{i:05d}.npy").write_bytes(i.to_bytes(8) + block)
                (folder / f"shards/{i:05d}.index.parquet").write_bytes(i.to_bytes(8) + block[:10_000])
            times = {}
            for command in (["init", "--no-scm"], ["add", "shards"], ["status"], ["status"]):
                start = time.perf_counter()
                subprocess.run(["dvc", *command, "--quiet"], cwd=folder, check=True, capture_output=True)
                times[command[0]] = round(time.perf_counter() - start, 2)
            results[str(count)] = {"add_s": times["add"], "status_s": times["status"]}
            print(f"status, {count} shards: {results[str(count)]}", flush=True)
    return results


def clip(count: int = 128) -> dict:
    """Twice: the cost of a clip is what the others add to the first."""
    results: dict[str, Any] = {"clips": count, "films": films.ABOUT_SEGMENTS, "ms": {}, "kb": {}}
    with tempfile.TemporaryDirectory(prefix="earsight-scale-") as name:
        paths = films.write_videos(Path(name) / "films", 32, films.segment)
        results["kb"]["media"] = round(sum(p.stat().st_size for p in paths) / len(paths) / 1000, 1)
        walls: dict[int, dict[str, float]] = {}
        for rows in (1, count):
            folder = Path(name) / str(rows)
            commands.write_project(folder, paths, rows, 1, **{"data.clip_seconds": float(films.SECONDS)})
            walls[rows] = {
                s: commands.measure_stage(folder, s).wall
                for s in ("download", "wav", "spectrogram", "frames")
            }
        for stage, wall in walls[count].items():
            results["ms"][stage] = round(1000 * (wall - walls[1][stage]) / (count - 1), 2)
            stage_folder = folder / "data" / ("media" if stage == "download" else stage)
            if stage != "download":
                results["kb"][stage] = round(
                    sum(p.stat().st_size for p in stage_folder.iterdir()) / count / 1000, 1
                )
    return results | learning()


def learning() -> dict:
    """Clips a second, on all cores."""
    from models import checkpoint

    params = read(ROOT / "params.yaml")
    data = dataset.load(ROOT / "data", params.audio, params.video, params.input)
    model = checkpoint.load(ROOT / "checkpoints")
    clip_numbers = np.arange(len(data))
    start = time.perf_counter()
    for _ in range(4):
        model.embed(data, clip_numbers)
    clips_per_second = 4 * len(data) / (time.perf_counter() - start)
    training = json.loads((ROOT / "benchmarks/results/overheads.json").read_text())["training"]
    return {"learns_clips_s": training["clips_s"], "embeds_clips_s": round(clips_per_second)}


SETS = {"VGGSound": 200_000, "AudioSet": 2_100_000, "a hundred million": 100_000_000}
VECTOR = {"flat": 512, "ivf_pq": 74}  # bytes, of benchmarks.search


def table(results: dict) -> str:
    """What so many clips cost, as Markdown."""
    ms, kb = results["clip"]["ms"], results["clip"]["kb"]
    largest = max(map(int, (n for n in results["rows"]["load"] if n.isdecimal())))
    rows = {step: results["rows"][step] for step in ("first", "split", "load")}
    ram = {step: costs[str(largest)]["peak_gib"] / largest for step, costs in rows.items()}
    per_minute = read(ROOT / "params.yaml").download.per_minute

    def format_value(value: float, unit: str) -> str:
        return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"

    def stored(size: float) -> str:
        unit, name = next(u for u in ((1e9, "TB"), (1e6, "GB"), (1e3, "MB")) if size >= u[0] or u[0] == 1e3)
        return format_value(size / unit, name)

    lines: dict[str, Callable[[int], str]] = {
        "clips": lambda n: f"{n:,}",
        f"shards of {SIZE:,} in a stage": lambda n: f"{-(-n // SIZE):,}",
        f"download, {per_minute:g} a minute": lambda n: format_value(n / per_minute / 1440, "days"),
        "`wav`, core hours": lambda n: format_value(n * ms["wav"] / 3.6e6, "h"),
        "`spectrogram`, core hours": lambda n: format_value(n * ms["spectrogram"] / 3.6e6, "h"),
        "`frames`, core hours": lambda n: format_value(n * ms["frames"] / 3.6e6, "h"),
        "the three on 64 cores": lambda n: format_value(
            n * (ms["wav"] + ms["spectrogram"] + ms["frames"]) / 3.6e6 / 64, "h"
        ),
        **{f"`{name}` on disk": lambda n, k=kb[name]: stored(n * k) for name in kb},
        "memory of a data stage's parent": lambda n: format_value(n * ram["first"], "GiB"),
        "memory of `split`": lambda n: format_value(n * ram["split"], "GiB"),
        "memory of `train`, `index`, for the tables": lambda n: format_value(n * ram["load"], "GiB"),
        "an epoch of `train`": lambda n: format_value(n / results["clip"]["learns_clips_s"] / 3600, "h"),
        "embedding by `index`": lambda n: format_value(n / results["clip"]["embeds_clips_s"] / 3600, "h"),
        **{f"index `{kind}`": lambda n, b=b: stored(n * b / 1000) for kind, b in VECTOR.items()},
    }
    head = ["", *SETS]
    body = [[name, *(line(n) for n in SETS.values())] for name, line in lines.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] + ["---:"] * len(SETS), *body))


def merge_rows(results: dict, new_results: dict) -> dict:
    """Return the costs of all steps, with new ones for some steps and numbers of rows."""
    return results | {step: results.get(step, {}) | costs for step, costs in new_results.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.formatter_class = argparse.RawTextHelpFormatter
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--steps", nargs="*", default=STEPS, help="of rows; split needs quality")
    parser.add_argument("--shards", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--only", choices=["clip", "copies", "rows", "status"])
    parser.add_argument("--table", action="store_true", help="of the kept results, for docs/scaling.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one and options.one.isdecimal():
        result = search_copies(int(options.one), options.rows[0])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(result | {"peak_gib": round(peak, 2)}))
        return
    if options.one:
        start, cpu_start = time.perf_counter(), time.process_time()
        run_step(options.one, options.rows[0], options.folder)
        wall = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        cpu = time.process_time() - cpu_start
        print(json.dumps({"s": round(wall, 2), "cpu_s": round(cpu, 2), "peak_gib": round(peak, 2)}))
        return
    if options.table:
        print(table(json.loads(RESULT.read_text(encoding="utf-8"))))
        return
    results = json.loads(RESULT.read_text(encoding="utf-8")) if options.only else {}
    measurements: dict[str, Callable[[], dict]] = {
        "clip": clip,
        "copies": lambda: copies(options.rows),
        "rows": lambda: merge_rows(results.get("rows", {}), rows(options.rows, options.steps)),
        "status": lambda: status(options.shards),
    }
    for name, measure in measurements.items():
        if options.only in (None, name):
            results[name] = measure()
    print(f"clip: {results['clip']}")
    result_files.save("scale", results, options.only)


if __name__ == "__main__":
    main()
