"""Vectors of every sound, picture and video in a folder, by a trained model, for other projects.

OUT gets features.parquet: clip_id, path, start (s), and audio and video, the vectors, null where missing; or
with --format npy audio.npy, video.npy and clips.parquet, row i of each the same. Beside them index.parquet,
what became of each clip, and features.json, what made them. Killed and run again, it goes on; only new and
changed files are made.
"""

import argparse
import fcntl
import json
import math
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.cli import run
from pipeline.errors import UserError

SHARD = 32  # clips in a shard
TIMEOUT, TIMEOUT_ALONG = 300.0, 3600.0  # s that a file may take: its middle window, all of it


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    about, more = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(prog="python -m app.features", description=about, epilog=more)
    add = parser.add_argument
    add(
        "folder",
        metavar="FOLDER",
        help="media, in folders of any depth; a clips.csv in it says what the clips are",
    )
    add("out", metavar="OUT", help="a new folder, or one that this command has written")
    add("--model", default="checkpoints", metavar="MODEL", help="the folder of a model (checkpoints)")
    add(
        "--side",
        choices=("audio", "video", "both"),
        default="both",
        help="what to embed (both, as far as there)",
    )
    add(
        "--every", type=_positive, metavar="SECONDS", help="windows all along a file; without, its middle one"
    )
    add("--format", choices=("parquet", "npy"), default="parquet", help="(parquet)")
    add("--workers", type=_count, metavar="N", help="processes (one for each core)")
    limits = f"{TIMEOUT:g}; with --every {TIMEOUT_ALONG:g}"
    add("--timeout", type=_positive, metavar="SECONDS", help=f"what one file may take ({limits})")
    return parser.parse_args(given)


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1024:
        raise argparse.ArgumentTypeError("must be 1 to 1024")
    return value


def features() -> None:
    given = arguments()
    try:
        _features(given)
    except KeyboardInterrupt:
        _stop_server()
        raise


def _features(given: argparse.Namespace) -> None:
    with _undisturbed():
        from models.inference import extract as of
        from pipeline.engine import runner
        from pipeline.sources import folder as source

    data, out, model = SimpleNamespace(folder=given.folder), Path(given.out), Path(given.model)
    try:
        root, table = source.resolve(given.folder), source.clips(data)
    except UserError as e:
        raise UserError(str(e).replace("data.folder", "FOLDER")) from None
    config, identity = _config(model / "config.json", given.every), of.identity(model)
    _check(out, Path(root))
    clips = table.to_pylist()
    rows = [of.row(clip) for clip in clips]
    for note in source.notes(data, table):
        print(f"features: {note}")
    step = of.FeaturesStep(root, given.model, identity, given.side, given.every)
    timeout = given.timeout or (TIMEOUT_ALONG if given.every else TIMEOUT)
    # Films may be few, and long: a shard each, so that every worker has one.
    size = SHARD if given.every is None else max(min(SHARD, len(rows) // 16), 1)
    with _held(out):
        job = of.job(step, config, out, [source.stamp(clip) for clip in clips])
        if runner.clips_to_compute(job, rows):
            _serve(config)
        index = runner.run(job, rows, size, SimpleNamespace(workers=given.workers, timeout=timeout))
        told = of.write(job, config, rows, index, out, given.format)
    if not told["windows"]:
        raise UserError(f"{root}: nothing in it can be embedded: {out / 'index.parquet'} says why")
    dims = ", ".join(f"{name} {dim}" for name, dim in told["dim"].items())
    names = "features.parquet" if given.format == "parquet" else "clips.parquet, *.npy"
    print(f"features: {told['windows']} windows ({dims}) in {out}: {names}, index.parquet, features.json")


def _config(path: Path, every: float | None) -> dict[str, Any]:
    """config.json of a model, whatever else may be wrong with the model."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        audio = config["inputs"]["audio"]
        column = audio["hop_length"] / audio["sample_rate"]
    except FileNotFoundError:
        raise UserError(
            f"{path}: not there: train a model first (dvc repro), or name one by --model"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(f"{path}: not of a model ({type(e).__name__}: {e}): name one by --model") from None
    if every is not None and every < column:
        raise UserError(
            f"--every {every:g}: the model's features have {column:g} s to a column: ask for more"
        )
    return config


def _check(out: Path, root: Path) -> None:
    """Make OUT. Raises UserError where it is no place for what this command writes."""
    if out.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{out}: lies in {root}, where the media are: choose a place outside")
    shards = out / ".shards"
    try:
        if out.exists() and not out.is_dir():
            raise UserError(f"{out}: is a file: choose a new folder, or one that this command has written")
        if out.is_dir() and not shards.is_dir() and any(out.iterdir()):
            raise UserError(f"{out}: holds other things: choose a new folder")
        shards.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError(0, "Permission denied")
    except OSError as e:
        raise UserError(f"{out}: cannot be written ({e.strerror}): choose another place") from None


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Raises UserError where another such command works in `out`."""
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"{out}: another app.features works there: wait until it is done") from None
    finally:
        os.close(folder)


# --- the server that forks the workers ------------------------------------------------------------------


def _serve(config: dict[str, Any]) -> None:
    """Start it, unless it runs, and wait until it has imported all that the model is made of: each worker
    would take seconds for that."""
    from models.components import component_modules
    from models.inference.extract import CHECKPOINT, FeaturesStep
    from pipeline.engine import workers

    workers.worker_context([FeaturesStep.__module__, CHECKPOINT, *component_modules(config)])
    resource_tracker.ensure_running()  # lets signals through, and would do so below
    with _undisturbed():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the server inherits it
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)
    first = multiprocessing.get_context("forkserver").Process(target=int)  # does nothing
    first.start()
    first.join()


def _stop_server() -> None:
    """After Ctrl-C: it would go on with its imports first."""
    import psutil

    for child in psutil.Process().children():
        if any("multiprocessing.forkserver" in word for word in child.cmdline()):
            child.kill()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits for the end of this block. Amid imports, Python may lose it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


if __name__ == "__main__":
    run(features)
