"""Runs tasks on a Ray cluster: an existing one, or one of this machine that ends with the run.

Ray says where a task runs and runs it again where a worker died or a node left. What a task is, and what a
hostile file costs, is the engine's: a shard is made by a process that the node's worker starts for it.
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

from pipeline.engine import local
from pipeline.engine.job import Task
from pipeline.errors import UserError
from pipeline.store.code_identity import ROOT

AGAIN = 10  # times that a task is begun anew because its worker died or its node left
SHIPPED = ("models", "pipeline")  # the code that workers need
SMALL = 200_000_000  # bytes of shared memory for a cluster of this machine: results are small
PATIENCE = 5.0  # s for a cluster to answer


def shards(tasks: list[Task], settings) -> Generator[tuple[Task, bytes], None, None]:
    """Each of the engine's tasks with its account, as they are done."""
    with connected(settings):
        for task, (account, unread, node) in each(_shard, tasks, settings, os.getcwd(), settings.timeout):
            for path in unread:
                if os.access(path, os.R_OK):  # not the file's fault, then
                    raise UserError(f"{path}: node {node} does not see it: {SHARE}")
            yield task, account


SHARE = "the project, and media that are read where they lie, must be on all nodes under the same path (NFS)"


def _shard(task: Task, root: str, timeout: float) -> tuple[bytes, list[str], str]:
    """On a node: a shard's account, the files that could not be read, and the node's name."""
    lie = [task.given.place] if task.given else []
    lie += [entry[0] for entry in task.kept if entry]
    stored = task.shards.storage is not None
    enter(root, needed=not stored or any("://" not in p and not os.path.isabs(p) for p in lie))
    # The engine's own worker would run the main module again, which here is Ray's.
    sys.modules["__main__"].__file__ = None
    try:
        account = local.alone(task, timeout)
    except FileNotFoundError as e:
        why = f"{e.filename}: node {socket.gethostname()} does not see it"
        raise UserError(f"{why}: {SHARE}") from None
    statuses = pq.ParquetFile(pa.BufferReader(account)).read(["status"])["status"].to_pylist()
    unread = (c for c, status in zip(task.clips, statuses, strict=True) if status == "unreadable")
    paths = {path for clip in unread for path in (clip["audio"], clip["video"]) if path}
    return account, [p for p in sorted(paths) if not os.access(p, os.R_OK)], socket.gethostname()


def enter(root: str, needed: bool) -> None:
    """On a node: work in the project's folder; without it where all that is needed lies in a storage."""
    try:
        os.chdir(root)
    except OSError as e:
        if needed:
            why = f"{root}: node {socket.gethostname()} does not see it ({e.strerror})"
            raise UserError(f"{why}: {SHARE}; or set engine.storage") from None


def each(function: Callable, items: list, settings, *same) -> Iterator[tuple[Any, Any]]:
    """Each item with `function(item, *same)`, as they are done. To be called where `connected`.

    A task that fails ends it: a UserError is told as it is.
    """
    import ray

    remote = ray.remote(num_cpus=1, max_retries=AGAIN)(function)
    waiting: dict[Any, Any] = {}
    todo = iter(items)
    while True:
        most = settings.workers if settings.address else None
        # A few tasks ahead and no more: each carries its clips' rows. Nodes come and go.
        most = most or int(ray.cluster_resources().get("CPU", 0)) + 2
        while len(waiting) < most and (item := next(todo, None)) is not None:
            waiting[remote.remote(item, *same)] = item
        if not waiting:
            return
        done, _ = ray.wait(list(waiting), timeout=10)
        for reference in done:
            yield waiting.pop(reference), _result(ray, reference)


def _result(ray, reference) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as e:
        raise e.cause if isinstance(e.cause, (UserError, OSError)) else e from None
    except ray.exceptions.RayError as e:
        reason = str(e).strip().splitlines()[0][:300]
        raise UserError(f"engine.name: ray: given up after {AGAIN + 1} times: {reason}") from None


@contextmanager
def connected(settings) -> Iterator[None]:
    """Inside, this process is of the cluster that `engine` names. A connection that is there is used."""
    # Before Ray is imported; the second has a cluster of this machine listen on 127.0.0.1 alone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if settings.address is None:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # s that its processes look for it where it was killed: a minute, where it might come back.
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "5")
    try:
        import ray
    except ImportError:
        raise UserError("engine.name: ray: Ray is not installed: uv pip install ray s3fs") from None
    if ray.is_initialized():
        yield
        return
    if settings.address is not None:
        _answers(settings.address)
    with _of_its_own() if settings.address is None else nullcontext() as folder:
        try:
            _join(ray, settings, folder)
            yield
        finally:
            ray.shutdown()


def _join(ray, settings, folder: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if folder:
        own = {"address": "local", "num_cpus": settings.workers or os.cpu_count(), "_temp_dir": folder}
        ray.init(**own, include_dashboard=False, object_store_memory=SMALL, **quiet)
        return
    # All but the code stays here: data may be large, and are none of the cluster's business.
    others = [f"/{path.name}" for path in ROOT.iterdir() if path.name not in SHIPPED]
    code = {"working_dir": str(ROOT), "excludes": others}
    try:
        ray.init(address=settings.address, runtime_env=code, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as e:
        reason = str(e).strip().splitlines()[0][:300]
        why = f"engine.address: {settings.address}: {reason}"
        raise UserError(f"{why} (one that asks for a token needs RAY_AUTH_MODE=token)") from None


@contextmanager
def _of_its_own() -> Iterator[str]:
    """A folder for a cluster of this machine, of a short name: sockets in it have room for 107 letters."""
    folder = tempfile.mkdtemp(prefix="earsight-", dir="/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(address: str) -> None:
    """Raises UserError where nobody listens: Ray itself would wait for a minute."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if not (host and port.isdecimal()):
            raise ValueError("should be host:port, or auto")
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, OverflowError, ValueError) as e:
        reason = getattr(e, "strerror", None) or e
        how = "start one there (ray start --head --port=6379), or set it to null"
        raise UserError(f"engine.address: {address}: no Ray cluster answers ({reason}): {how}") from None
