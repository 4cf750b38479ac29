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
from pipeline.store.locations import file_path

MAX_RETRIES = 10  # of a task whose worker died or whose node left the cluster
CODE_FOLDERS = ("models", "pipeline")  # the folders of the project that workers import
OBJECT_STORE_BYTES = 200_000_000  # shared memory of a cluster on this machine: results are small
CONNECT_TIMEOUT = 5.0  # s
ADVICE = "the project, and media outside of shards, must be on all nodes under the same path (NFS)"


def run_tasks(tasks: list[Task], engine) -> Generator[tuple[Task, bytes], None, None]:
    """Yield each task with the index of its shard (the content of a Parquet file), in order of completion.

    engine: the section `engine` of params.yaml. Raises UserError for a file that this machine can read and
    a node cannot.
    """
    with connect(engine):
        gpu_share = tasks[0].job.gpu_share
        results = map_unordered(_run_on_node, tasks, engine, os.getcwd(), engine.timeout, gpu_share=gpu_share)
        for task, (shard_index, unreadable_paths, node) in results:
            for path in unreadable_paths:
                if os.access(path, os.R_OK):  # the file is intact, but the node does not see it
                    raise UserError(f"{path}: node {node} does not see it: {ADVICE}")
            yield task, shard_index


def _run_on_node(task: Task, project_folder: str, timeout: float) -> tuple[bytes, list[str], str]:
    """Run a task; this function runs on a node of the cluster.

    Returns the index of the shard (the content of a Parquet file), the paths of the media files that could
    not be read, and the name of the node. timeout: seconds per clip.
    """
    locations = [task.upstream_index.location] if task.upstream_index else []
    locations += [row.location for row in task.reusable_rows if row]
    has_relative_path = any("://" not in path and not os.path.isabs(path) for path in locations)
    enter_project(project_folder, is_required=task.shards.storage is None or has_relative_path)
    # multiprocessing runs the main module again in a new process, unless the module has no file. It is a
    # script of Ray here.
    sys.modules["__main__"].__file__ = None
    try:
        shard_index = local.run_in_subprocess(task, timeout)
    except FileNotFoundError as e:
        problem = f"{e.filename}: node {socket.gethostname()} does not see it"
        raise UserError(f"{problem}: {ADVICE}") from None
    statuses = pq.ParquetFile(pa.BufferReader(shard_index)).read(["status"])["status"].to_pylist()
    media_paths = set()
    for clip, status in zip(task.clips, statuses, strict=True):
        if status == "unreadable":
            media_paths |= {file_path(clip[c]) for c in ("audio", "video") if clip[c]}
    unreadable_paths = [path for path in sorted(media_paths) if not os.access(path, os.R_OK)]
    return shard_index, unreadable_paths, socket.gethostname()


def enter_project(project_folder: str, is_required: bool) -> None:
    """Change the working directory of a worker on a node to the project's folder.

    If the folder does not exist there: raises UserError if `is_required`, otherwise changes nothing.
    """
    try:
        os.chdir(project_folder)
    except OSError as e:
        if is_required:
            problem = f"{project_folder}: node {socket.gethostname()} does not see it ({e.strerror})"
            raise UserError(f"{problem}: {ADVICE}; or set engine.storage") from None


def map_unordered(
    function: Callable, items: list, engine, *arguments: Any, gpu_share: float = 0.0
) -> Iterator[tuple[Any, Any]]:
    """Run `function(item, *arguments)` for each item on the cluster, inside a `with connect(engine)` block.

    Yields pairs of an item and the function's result, in order of completion. engine: the section `engine`
    of params.yaml. gpu_share: part of a GPU that each call takes, which Ray then shows to it; it has no
    effect if no node has a GPU. Raises the UserError or OSError that the function raises.
    """
    import ray

    num_gpus = gpu_share if ray.cluster_resources().get("GPU") else 0
    remote_function = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=MAX_RETRIES)(function)
    pending: dict[Any, Any] = {}  # Ray's reference to a result -> the item
    queue = iter(items)
    while True:
        # A cluster on this machine was started with `engine.workers` CPUs.
        limit = engine.workers if engine.address else None
        if not limit:
            # Nodes may join and leave: the number of CPUs changes.
            limit = int(ray.cluster_resources().get("CPU", 0)) + local.TASKS_AHEAD
        while len(pending) < limit and (item := next(queue, None)) is not None:
            pending[remote_function.remote(item, *arguments)] = item
        if not pending:
            return
        completed, _ = ray.wait(list(pending), timeout=10)
        for reference in completed:
            yield pending.pop(reference), _get_result(ray, reference)


def _get_result(ray, reference) -> Any:
    """Return the result of a function that has ended. Raise its UserError or OSError, without Ray's wrapper.

    ray: the module. reference: Ray's reference to the result.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as e:
        raise e.cause if isinstance(e.cause, (UserError, OSError)) else e from None
    except ray.exceptions.RayError as e:
        reason = str(e).strip().splitlines()[0][:300]
        raise UserError(f"engine.name: ray: given up after {MAX_RETRIES + 1} times: {reason}") from None


@contextmanager
def connect(engine) -> Iterator[None]:
    """Connect this process to a Ray cluster; disconnect at the end of the `with` block.

    engine: the section `engine` of params.yaml. If its `address` is null, a cluster on this machine starts
    and ends with the block. A process that is connected already stays connected to the same cluster.
    """
    # Ray reads these variables when it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if engine.address is None:
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
    if engine.address is not None:
        _check_address(engine.address)
    with _short_temporary_folder() if engine.address is None else nullcontext() as folder:
        try:
            _init_ray(ray, engine, folder)
            yield
        finally:
            ray.shutdown()


def _init_ray(ray, engine, folder: str | None) -> None:
    """Start a cluster on this machine that writes its files to `folder`; None: join `engine.address`.

    ray: the module. engine: the section `engine` of params.yaml.
    """
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if folder:
        ray.init(
            address="local",
            num_cpus=engine.workers or os.cpu_count(),
            _temp_dir=folder,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
        return
    runtime_env: dict[str, Any] = {}
    if not PREFIX:  # this is a clone: upload its code. An installed Earsight is installed on all nodes, too.
        # Only the code is uploaded: data may be large or private.
        excludes = [f"/{path.name}" for path in ROOT.iterdir() if path.name not in CODE_FOLDERS]
        runtime_env = {"working_dir": str(ROOT), "excludes": excludes}
    try:
        ray.init(address=engine.address, runtime_env=runtime_env, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as e:
        reason = str(e).strip().splitlines()[0][:300]
        problem = f"engine.address: {engine.address}: {reason}"
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
