"""The engine on a Ray cluster: it writes the same files as the local engine, whatever fails."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pipeline.engine import cluster, runner
from pipeline.errors import UserError
from pipeline.store.shards import ShardIndex
from testing import toy_stage
from tests.pipeline.engine import test_runner
from tests.pipeline.engine.test_runner import descendants, files, is_alive, process_name, start_python, until


def run(folder: Path, rows: list[dict], cluster, workers: int | None = 2, timeout: float = 3.0) -> list[dict]:
    engine = toy_stage.Engine(workers, timeout, "ray", cluster.address)
    return runner.run(toy_stage.job(folder), rows, 4, engine).to_pylist()


def run_in_thread(action, *, after: Path) -> threading.Thread:
    """Start a thread that calls `action` when the file `after` exists."""

    def wait() -> None:
        until(after.exists)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def busy_workers() -> list[psutil.Process]:
    """Return the workers of Ray that compute a shard now."""
    processes = []
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[0].startswith("ray::_run_on_node"):
            processes.append(process)
    return processes


@pytest.mark.parametrize("count", [1, None])
def test_the_files_are_those_of_the_local_engine(tmp_path, ray_cluster, count):
    rows = toy_stage.clips(*["ok"] * 5, "corrupt", "crash", *["ok"] * 6, "hang")
    test_runner.run(tmp_path / "local", rows, timeout=0.5)
    index = run(tmp_path / "cluster", rows, ray_cluster, count, timeout=0.5)
    assert [r["status"] for r in index].count("ok") == 11
    assert {r["status"] for r in index} == {"ok", "corrupt", "crashed", "timeout"}
    assert files(tmp_path / "cluster") == files(tmp_path / "local")


def test_workers_that_are_killed_change_nothing(tmp_path, ray_cluster):
    rows = toy_stage.clips(*["slow"] * 39, "corrupt")
    test_runner.run(tmp_path / "local", rows)

    def kill() -> None:
        until(busy_workers)
        for worker in busy_workers():
            worker.kill()

    killer = run_in_thread(kill, after=tmp_path / "cluster/00001.index.parquet")
    run(tmp_path / "cluster", rows, ray_cluster)
    killer.join()
    assert files(tmp_path / "cluster") == files(tmp_path / "local")


def test_a_share_of_a_gpu_is_taken_where_there_is_one(ray_cluster):
    engine = toy_stage.Engine(2, 3.0, "ray", ray_cluster.address)

    def list_gpus(share: float) -> list[str | None]:
        results = cluster.map_unordered(_visible_gpus, [1, 2, 3], engine, gpu_share=share)
        return [gpus for _, gpus in results]

    assert "0" not in list_gpus(0.5)  # no node has a GPU: the calls do not wait for one
    node = ray_cluster.add_node(num_cpus=1, num_gpus=1)  # it has none, but Ray believes so
    ray_cluster.wait_for_nodes()
    assert list_gpus(0.5) == ["0", "0", "0"]
    ray_cluster.remove_node(node)


def _visible_gpus(_: int) -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_a_node_that_leaves_changes_nothing(tmp_path, ray_cluster):
    rows = toy_stage.clips(*["slow"] * 59, "corrupt")
    test_runner.run(tmp_path / "local", rows)
    node = ray_cluster.add_node(num_cpus=1)
    ray_cluster.wait_for_nodes()
    leave_times = []

    def leave() -> None:
        until(lambda: len(busy_workers()) >= 3)  # the new node works too
        ray_cluster.remove_node(node, allow_graceful=False)
        leave_times.append(time.monotonic())

    leaver = run_in_thread(leave, after=tmp_path / "cluster/00000.index.parquet")
    run(tmp_path / "cluster", rows, ray_cluster, workers=None)
    assert leave_times and time.monotonic() > leave_times[0]
    leaver.join()
    assert files(tmp_path / "cluster") == files(tmp_path / "local")


def start(folder: Path, address: str | None, *kinds: str) -> subprocess.Popen:
    engine = json.dumps({"workers": 2, "name": "ray", "address": address})
    return start_python("-m", "testing.toy_stage", str(folder), engine, *kinds)


def test_kill_9_then_a_second_run_gives_the_same_bytes(tmp_path, ray_cluster):
    kinds = ["slow"] * 39 + ["corrupt"]
    test_runner.run(tmp_path / "local", toy_stage.clips(*kinds))
    process = start(tmp_path / "cluster", ray_cluster.address, *kinds)
    until((tmp_path / "cluster/00001.index.parquet").exists, 60)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (tmp_path / "cluster/index.parquet").exists()
    n_finished = len(list((tmp_path / "cluster").glob("0*.index.parquet")))
    assert 1 <= n_finished < 10
    run(tmp_path / "cluster", toy_stage.clips(*kinds), ray_cluster)
    assert files(tmp_path / "cluster") == files(tmp_path / "local")


def listening_addresses(processes: list[int]) -> set[str]:
    """Return the addresses at which any of these processes listens."""
    addresses = set()
    for number in processes:
        try:
            addresses |= {
                c.laddr.ip for c in psutil.Process(number).net_connections("inet") if c.status == "LISTEN"
            }
        except psutil.Error:
            continue
    return addresses


def is_agent(number: int) -> bool:
    """Return whether a process is an agent of Ray, by its script or its later title."""
    try:
        words = psutil.Process(number).cmdline()
    except psutil.Error:
        return False
    return any(re.search(r"/agent(/main)?\.py$|^ray::\w+Agent", word) for word in words[:4])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find processes")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_cluster_on_this_machine_listens_locally_and_ends_with_the_run(tmp_path, signal_number):
    process = start(tmp_path / "a", None, *["slow"] * 400)
    until((tmp_path / "a/00001.index.parquet").exists, 90)
    names = descendants(process.pid)
    assert any("raylet" in name for name in names.values())
    started, agents = set(names), {p for p in names if is_agent(p)}
    assert listening_addresses([*started, process.pid]) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    if signal_number == signal.SIGINT:
        os.killpg(process.pid, signal_number)  # as a terminal does
    else:
        os.kill(process.pid, signal_number)
    process.communicate(timeout=30)
    assert process.returncode != 0
    # Two agents of Ray, which are idle, look for the killed cluster for a minute.
    if signal_number == signal.SIGKILL:
        started -= agents

    def remaining() -> list[str]:
        return [process_name(p) for p in started if is_alive(p)]

    until(lambda: not remaining(), 120, remaining)
    if signal_number == signal.SIGINT:
        assert not list((tmp_path / "a").glob(".*.tmp"))
    assert (tmp_path / "a/00000.npy").exists()


# --- mistakes of users -------------------------------------------------------------------------------------


def error_message(folder: Path, **engine) -> str:
    with pytest.raises(UserError) as error:
        runner.run(toy_stage.job(folder), toy_stage.clips("ok"), 4, toy_stage.Engine(**engine))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_ray_the_message_tells_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "Ray is not installed: uv pip install ray" in error_message(tmp_path / "a", name="ray")


def test_an_address_without_a_server_is_one_line(tmp_path, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    start_time = time.monotonic()
    line = error_message(tmp_path / "a", name="ray", address="127.0.0.1:9")
    assert re.match(r"engine.address: 127.0.0.1:9: no Ray cluster answers \(.*refused\): start one", line)
    for wrong in ("nowhere", "nowhere.invalid:6379", "127.0.0.1:99999"):
        line = error_message(tmp_path / "a", name="ray", address=wrong)
        assert line.startswith(f"engine.address: {wrong}: no Ray cluster answers (")
    assert time.monotonic() - start_time < 5


def test_a_node_that_does_not_see_the_project_is_named(tmp_path):
    before = os.getcwd()
    try:
        with pytest.raises(UserError, match=r"nowhere: node .* does not see it .*or set engine.storage"):
            cluster.enter_project(str(tmp_path / "nowhere"), is_required=True)
        cluster.enter_project(str(tmp_path / "nowhere"), is_required=False)
        assert os.getcwd() == before
        # engine.storage is new: the values of the stage before are still in the project.
        task = SimpleNamespace(
            upstream_index=ShardIndex("data/media/00000.parquet", []),
            reusable_rows=[],
            shards=SimpleNamespace(storage="s3://there"),
        )
        with pytest.raises(UserError, match="does not see it"):
            cluster._run_on_node(task, str(tmp_path / "nowhere"), 3.0)
    finally:
        os.chdir(before)
