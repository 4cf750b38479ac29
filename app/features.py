"""Extract embeddings of all sounds, pictures and videos in a folder with a trained model.

OUT gets features.parquet: clip_id, path, start (s), and the vectors audio and video, null where missing. With
--format npy it gets audio.npy, video.npy and clips.parquet instead, with the same rows. index.parquet has the
status of each clip, features.json the model and the settings. If the command is killed, run it again: it
processes only what is missing, and new and changed files.
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
TIMEOUT, TIMEOUT_ALONG = 300.0, 3600.0  # s for one file: its middle window, windows along the file


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    summary, details = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(prog="python -m app.features", description=summary, epilog=details)
    add = parser.add_argument
    add(
        "folder",
        metavar="FOLDER",
        help="folder of media, searched recursively; an optional clips.csv lists the clips",
    )
    add("out", metavar="OUT", help="output folder: a new one, or one of an earlier run")
    add("--model", default="checkpoints", metavar="MODEL", help="folder of the model (checkpoints)")
    add(
        "--side",
        choices=("audio", "video", "both"),
        default="both",
        help="what to embed (both, as far as a file has them)",
    )
    add(
        "--every",
        type=_positive,
        metavar="SECONDS",
        help="hop of windows along each file; by default only the middle window",
    )
    add("--format", choices=("parquet", "npy"), default="parquet", help="format of the vectors (parquet)")
    add("--workers", type=_count, metavar="N", help="number of processes (one for each core)")
    limits = f"{TIMEOUT:g}; with --every {TIMEOUT_ALONG:g}"
    add("--timeout", type=_positive, metavar="SECONDS", help=f"timeout for one file ({limits})")
    return parser.parse_args(arguments)


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
    """Run the command."""
    arguments = parse_arguments()
    try:
        _extract(arguments)
    except KeyboardInterrupt:
        _stop_server()
        raise


def _extract(arguments: argparse.Namespace) -> None:
    with _defer_interrupt():
        from models.inference import extract
        from models.weights import weights_digest
        from pipeline.engine import runner
        from pipeline.sources import folder as source

    data, out, model = SimpleNamespace(folder=arguments.folder), Path(arguments.out), Path(arguments.model)
    try:
        root, table = source.resolve(arguments.folder), source.clips(data)
    except UserError as e:
        raise UserError(str(e).replace("data.folder", "FOLDER")) from None
    config, identity = _read_config(model / "config.json", arguments.every), weights_digest(model)
    _prepare_out(out, Path(root))
    clips = table.to_pylist()
    rows = [extract.to_step_input(clip) for clip in clips]
    for note in source.notes(data, table):
        print(f"features: {note}")
    step = extract.FeaturesStep(root, arguments.model, identity, arguments.side, arguments.every)
    timeout = arguments.timeout or (TIMEOUT_ALONG if arguments.every else TIMEOUT)
    # Few long files: use small shards, so that every worker gets one.
    size = SHARD if arguments.every is None else max(min(SHARD, len(rows) // 16), 1)
    with _lock(out):
        job = extract.create_job(step, config, out, [source.stamp(clip) for clip in clips])
        if runner.clips_to_compute(job, rows):
            _start_server(config)
        index = runner.run(job, rows, size, SimpleNamespace(workers=arguments.workers, timeout=timeout))
        summary = extract.write_features(job, config, rows, index, out, arguments.format)
    if not summary["windows"]:
        raise UserError(f"{root}: no file in it can be embedded: see {out / 'index.parquet'}")
    dims = ", ".join(f"{name} {dim}" for name, dim in summary["dim"].items())
    names = "features.parquet" if arguments.format == "parquet" else "clips.parquet, *.npy"
    print(f"features: {summary['windows']} windows ({dims}) in {out}: {names}, index.parquet, features.json")


def _read_config(path: Path, every: float | None) -> dict[str, Any]:
    """Read config.json of a model. Raises UserError if it is none, or `every` is too short for it."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        audio = config["inputs"]["audio"]
        column = audio["hop_length"] / audio["sample_rate"]
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file: train a model first (dvc repro), or give one with --model"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(
            f"{path}: not the config of a model ({type(e).__name__}: {e}): give one with --model"
        ) from None
    if every is not None and every < column:
        raise UserError(
            f"--every {every:g}: a column of the model's features is {column:g} s: use a larger value"
        )
    return config


def _prepare_out(out: Path, root: Path) -> None:
    """Create OUT. Raises UserError if it cannot be used as the output folder."""
    if out.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{out}: is in the folder of the media, {root}: choose a folder outside")
    shards = out / ".shards"
    try:
        if out.exists() and not out.is_dir():
            raise UserError(f"{out}: is a file: choose a new folder, or one of an earlier run")
        if out.is_dir() and not shards.is_dir() and any(out.iterdir()):
            raise UserError(f"{out}: contains other files: choose a new folder")
        shards.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError(0, "Permission denied")
    except OSError as e:
        raise UserError(f"{out}: cannot be written ({e.strerror}): choose another folder") from None


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Lock `out`. Raises UserError if another app.features uses it."""
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"{out}: another app.features writes there: wait until it has finished") from None
    finally:
        os.close(folder)


# --- the server that forks the workers ------------------------------------------------------------------


def _start_server(config: dict[str, Any]) -> None:
    """Start the fork server and wait until it has imported the model's modules.

    Each worker would need seconds for these imports.
    """
    from models.components import component_modules
    from models.inference.extract import CHECKPOINT, FeaturesStep
    from pipeline.engine import workers

    workers.worker_context([FeaturesStep.__module__, CHECKPOINT, *component_modules(config)])
    resource_tracker.ensure_running()  # unblocks signals, so it must not run inside the block below
    with _defer_interrupt():
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by the server
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, handler)
    process = multiprocessing.get_context("forkserver").Process(target=int)  # returns when imports are done
    process.start()
    process.join()


def _stop_server() -> None:
    """Kill the fork server after Ctrl-C: it would finish its imports first."""
    import psutil

    for child in psutil.Process().children():
        if any("multiprocessing.forkserver" in word for word in child.cmdline()):
            child.kill()


@contextmanager
def _defer_interrupt() -> Iterator[None]:
    """Defer Ctrl-C to the end of the block: Python can lose it during imports."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


if __name__ == "__main__":
    run(features)
