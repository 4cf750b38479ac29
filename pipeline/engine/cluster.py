"""Run tasks on a Ray cluster: an existing one, or one on this machine that ends with the run.

Ray decides where a task runs, and retries it if a worker dies or a node leaves. The engine decides what a
task is, and isolates hostile files: the worker of a node starts a subprocess for each shard.
"""

import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import PREFIX
from pipeline.engine import local
from pipeline.engine.job import Task
from pipeline.errors import UserError
from pipeline.store.code_identity import ROOT

MAX_RETRIES = 10  # of a task whose worker died or whose node left
CODE_FOLDERS = ("models", "pipeline")  # those that workers need
OBJECT_STORE_BYTES = 200_000_000  # shared memory of a cluster on this machine: results are small
CONNECT_TIMEOUT = 5.0  # s
ADVICE = "the project, and media outside of shards, must be on all nodes under the same path (NFS)"


def run_tasks(tasks: list[Task], settings) -> Generator[tuple[Task, bytes], None, None]:
    """Yield each task with the index of its shard, in order of completion.

    settings: the section `engine` of params.yaml. Raises UserError for a file that only this machine can
    read.
    """
    with connect(settings):
        results = map_unordered(_run_on_node, tasks, settings, os.getcwd(), settings.timeout)
        for task, (shard_index, unreadable, node) in results:
            for path in unreadable:
                if os.access(path, os.R_OK):  # readable here: the node lacks it, and the file is not at fault
                    raise UserError(f"{path}: node {node} does not see it: {ADVICE}")
            yield task, shard_index


def _run_on_node(task: Task, root: str, timeout: float) -> tuple[bytes, list[str], str]:
    """On a node: return the index of a shard, the files that could not be read, and the node's name."""
    locations = [task.upstream_index.location] if task.upstream_index else []
    locations += [row.location for row in task.reusable_rows if row]
    has_relative_path = any("://" not in path and not os.path.isabs(path) for path in locations)
    enter_project(root, is_required=task.shards.storage is None or has_relative_path)
    # A subprocess of the engine would run the main module again, which is Ray's here.
    sys.modules["__main__"].__file__ = None
    try:
        shard_index = local.run_in_subprocess(task, timeout)
    except FileNotFoundError as e:
        problem = f"{e.filename}: node {socket.gethostname()} does not see it"
        raise UserError(f"{problem}: {ADVICE}") from None
    statuses = pq.ParquetFile(pa.BufferReader(shard_index)).read(["status"])["status"].to_pylist()
    clips = (clip for clip, status in zip(task.clips, statuses, strict=True) if status == "unreadable")
    paths = {path for clip in clips for path in (clip["audio"], clip["video"]) if path}
    return shard_index, [p for p in sorted(paths) if not os.access(p, os.R_OK)], socket.gethostname()


def enter_project(root: str, is_required: bool) -> None:
    """On a node: change to the project's folder. If it is missing, raise UserError if `is_required`."""
    try:
        os.chdir(root)
    except OSError as e:
        if is_required:
            problem = f"{root}: node {socket.gethostname()} does not see it ({e.strerror})"
            raise UserError(f"{problem}: {ADVICE}; or set engine.storage") from None


def map_unordered(function: Callable, items: list, settings, *arguments: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each item with `function(item, *arguments)`, in order of completion. Call it inside `connect`.

    Raises the UserError or OSError of a task that fails.
    """
    import ray

    remote = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(function)
    pending: dict[Any, Any] = {}
    queue = iter(items)
    while True:
        limit = settings.workers if settings.address else None
        # Only a few tasks ahead: every task holds the rows of its clips. The number of CPUs may change.
        limit = limit or int(ray.cluster_resources().get("CPU", 0)) + 2
        while len(pending) < limit and (item := next(queue, None)) is not None:
            pending[remote.remote(item, *arguments)] = item
        if not pending:
            return
        completed, _ = ray.wait(list(pending), timeout=10)
        for reference in completed:
            yield pending.pop(reference), _result(ray, reference)


def _result(ray, reference) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as e:
        raise e.cause if isinstance(e.cause, (UserError, OSError)) else e from None
    except ray.exceptions.RayError as e:
        reason = str(e).strip().splitlines()[0][:300]
        raise UserError(f"engine.name: ray: given up after {MAX_RETRIES + 1} times: {reason}") from None


@contextmanager
def connect(settings) -> Iterator[None]:
    """Connect this process to the cluster of the section `engine`, unless it is connected already."""
    # Ray reads these variables when it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if settings.address is None:
        # A cluster on this machine listens on 127.0.0.1 only.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Seconds after which processes of a killed cluster exit; the default of a minute is for restarts.
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "5")
    try:
        import ray
    except ImportError:
        raise UserError("engine.name: ray: Ray is not installed: uv pip install ray s3fs") from None
    if ray.is_initialized():
        yield
        return
    if settings.address is not None:
        _check_address(settings.address)
    with _short_temporary_folder() if settings.address is None else nullcontext() as folder:
        try:
            _init_ray(ray, settings, folder)
            yield
        finally:
            ray.shutdown()


def _init_ray(ray, settings, folder: str | None) -> None:
    """Start a cluster on this machine with its files in `folder`; None: join `settings.address`."""
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if folder:
        ray.init(
            address="local",
            num_cpus=settings.workers or os.cpu_count(),
            _temp_dir=folder,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
        return
    # Only the code is uploaded: data may be large or private.
    excludes = [f"/{path.name}" for path in ROOT.iterdir() if path.name not in CODE_FOLDERS]
    # If Earsight is installed as a package, it is installed on all nodes, as its dependencies are.
    code = {} if PREFIX else {"working_dir": str(ROOT), "excludes": excludes}
    try:
        ray.init(address=settings.address, runtime_env=code, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as e:
        reason = str(e).strip().splitlines()[0][:300]
        problem = f"engine.address: {settings.address}: {reason}"
        raise UserError(f"{problem} (one that asks for a token needs RAY_AUTH_MODE=token)") from None


@contextmanager
def _short_temporary_folder() -> Iterator[str]:
    """Yield a folder with a short path: the paths of Ray's sockets in it are limited to 107 characters."""
    folder = tempfile.mkdtemp(prefix="earsight-", dir="/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_address(address: str) -> None:
    """Raise UserError if no server listens at `address`: Ray itself would wait for a minute."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if not (host and port.isdecimal()):
            raise ValueError("should be host:port, or auto")
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
    except (OSError, OverflowError, ValueError) as e:
        reason = getattr(e, "strerror", None) or e
        advice = "start one there (ray start --head --port=6379), or set it to null"
        raise UserError(f"engine.address: {address}: no Ray cluster answers ({reason}): {advice}") from None
