"""Extract embeddings of all sounds, pictures and videos in a folder with a trained model.

OUT gets features.parquet: clip_id, path, start (s), and the vectors audio and video, null where missing. With
--format npy it gets audio.npy, video.npy and clips.parquet instead, with the same rows. index.parquet has the
status of each clip, features.json the model and the settings. If the command is killed, run it again: it
processes only what is missing, and new and changed files.
"""

import argparse
import json
import math
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.cli import run
from pipeline.errors import UserError
from pipeline.store.output_folder import lock_folder, prepare_output_folder

SHARD_CLIPS = 32  # clips in a shard
SHARDS_ALONG = 16  # with --every: about so many shards, but none larger than SHARD_CLIPS
TIMEOUT_SECONDS = 300.0  # for the middle window of one file
TIMEOUT_SECONDS_ALONG = 3600.0  # with --every: for all windows of one file
MAX_WORKERS = 1024
GPU_WORKERS = 4  # by default if there is a GPU: each has a copy of the model on it


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or `arguments` instead of it."""
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
        type=_parse_positive,
        metavar="SECONDS",
        help="hop of windows along each file; by default only the middle window",
    )
    add("--format", choices=("parquet", "npy"), default="parquet", help="format of the vectors (parquet)")
    add(
        "--workers",
        type=_parse_workers,
        metavar="N",
        help=f"number of processes (one for each core; with a GPU {GPU_WORKERS})",
    )
    defaults = f"{TIMEOUT_SECONDS:g}; with --every {TIMEOUT_SECONDS_ALONG:g}"
    add("--timeout", type=_parse_positive, metavar="SECONDS", help=f"timeout for one file ({defaults})")
    return parser.parse_args(arguments)


def _parse_positive(text: str) -> float:
    """Return the number that an option has as its value. argparse reports a value that is not above 0."""
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _parse_workers(text: str) -> int:
    """Return the number of processes in `text`. argparse reports a number that is not possible."""
    value = int(text)
    if not 1 <= value <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"must be 1 to {MAX_WORKERS}")
    return value


def features() -> None:
    """Extract embeddings of a folder of media files, as the command line says.

    Raises UserError, and KeyboardInterrupt after Ctrl-C.
    """
    arguments = parse_arguments()
    try:
        _extract(arguments)
    except KeyboardInterrupt:
        _kill_fork_server()
        raise


def _extract(arguments: argparse.Namespace) -> None:
    """Compute the embeddings that are missing in the output folder, write its files and print a summary.

    arguments: of the command line. Raises UserError if the folders or the model cannot be used, or if no file
    can be embedded.
    """
    with _defer_interrupt():
        from models.inference import extract
        from models.weights import weights_digest
        from pipeline.engine import runner
        from pipeline.engine.clip_keys import find_clips_to_compute
        from pipeline.sources import folder as source

    out, model_folder = Path(arguments.out), Path(arguments.model)
    # As the section `data` of params.yaml.
    data_settings = SimpleNamespace(folder=arguments.folder, pair="none")
    try:
        media_folder = source.resolve(arguments.folder)
        table, lines = source.clips(data_settings)
    except UserError as e:  # here the folder is an argument of the command, and not a key of params.yaml
        raise UserError(str(e).replace("data.folder", "FOLDER")) from None
    config = _read_config(model_folder / "config.json", arguments.every)
    model_digest = weights_digest(model_folder)
    _prepare_out(out, Path(media_folder))
    clips = table.to_pylist()
    rows = [extract.to_step_input(clip, media_folder) for clip in clips]
    for line in lines:
        print(f"features: {line}")
    step = extract.FeaturesStep(media_folder, arguments.model, model_digest, arguments.side, arguments.every)
    timeout, shard_size = TIMEOUT_SECONDS, SHARD_CLIPS
    if arguments.every is not None:
        timeout = TIMEOUT_SECONDS_ALONG
        # Few long files: use small shards, so that every worker gets one.
        shard_size = max(min(SHARD_CLIPS, len(rows) // SHARDS_ALONG), 1)
    timeout = arguments.timeout or timeout
    engine = SimpleNamespace(name="local", workers=arguments.workers, timeout=timeout, storage=None)
    with lock_folder(out):
        job = extract.create_job(step, config, out, [source.stamp(clip) for clip in clips])
        if find_clips_to_compute(job, rows):
            has_gpu = _start_fork_server(config)
            if has_gpu and engine.workers is None:
                engine.workers = GPU_WORKERS
        index = runner.run(job, rows, shard_size, engine)
        summary = extract.write_features(job, config, rows, index, out, arguments.format)
    if not summary["windows"]:
        raise UserError(f"{media_folder}: no file in it can be embedded: see {out / 'index.parquet'}")
    dims = ", ".join(f"{side} {dim}" for side, dim in summary["dim"].items())
    files = "features.parquet" if arguments.format == "parquet" else "clips.parquet, *.npy"
    print(f"features: {summary['windows']} windows ({dims}) in {out}: {files}, index.parquet, features.json")


def _read_config(path: Path, hop_seconds: float | None) -> dict[str, Any]:
    """Read the config.json of a model.

    hop_seconds: from one window to the next along a file (--every), or None for the middle window only.
    Raises UserError if the file is no config of a model, or if the hop is too short for the model.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        audio = config["inputs"]["audio"]
        column_seconds = audio["hop_length"] / audio["sample_rate"]
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file: train a model first (dvc repro), or give one with --model"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(
            f"{path}: not the config of a model ({type(e).__name__}: {e}): give one with --model"
        ) from None
    if hop_seconds is not None and hop_seconds < column_seconds:
        raise UserError(
            f"--every {hop_seconds:g}: a column of the model's features is {column_seconds:g} s: use a larger"
            " value"
        )
    return config


def _prepare_out(out: Path, media_folder: Path) -> None:
    """Create the output folder `out`, if it does not exist.

    Raises UserError if it is inside the folder of the media, contains files of something else, or cannot be
    written.
    """
    if out.resolve().is_relative_to(media_folder.resolve()):
        raise UserError(f"{out}: is in the folder of the media, {media_folder}: choose a folder outside")
    prepare_output_folder(out, ".shards")


# --- the server that forks the workers ------------------------------------------------------------------


def _start_fork_server(config: dict[str, Any]) -> bool:
    """Start the process that forks the workers, and wait until it has imported the model's modules.

    It is that of multiprocessing.forkserver. Otherwise each worker would need seconds for these imports.
    config: of the model. Returns whether PyTorch finds a GPU.
    """
    from models.components import component_modules
    from models.inference.extract import CHECKPOINT, FeaturesStep
    from models.inference.extract_step import GPU_STATUS, exit_with_device
    from pipeline.engine import workers

    workers.worker_context([FeaturesStep.__module__, CHECKPOINT, *component_modules(config)])
    resource_tracker.ensure_running()  # unblocks signals, so it must not run inside the block below
    with _defer_interrupt():
        # The server inherits that SIGINT is ignored: Ctrl-C in the terminal goes to it too.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, handler)
    # The server can fork a process only when its imports are done. This one only looks for a GPU: if the
    # server did that, the processes that it forks could not use the GPU.
    process = multiprocessing.get_context("forkserver").Process(target=exit_with_device)
    process.start()
    process.join()
    return process.exitcode == GPU_STATUS


def _kill_fork_server() -> None:
    """Kill the process that forks the workers, after Ctrl-C. Otherwise it would first finish its imports."""
    import psutil

    for child in psutil.Process().children():
        if any("multiprocessing.forkserver" in word for word in child.cmdline()):
            child.kill()


@contextmanager
def _defer_interrupt() -> Iterator[None]:
    """Let Ctrl-C take effect only after the block: during imports Python can lose the KeyboardInterrupt."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


if __name__ == "__main__":
    run(features)
