"""The engine on a Ray cluster: whatever happens to it, the files are those of this machine alone."""

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
from pipeline.store.shards import Account
from testing import toy_stage
from tests.pipeline.engine import test_runner
from tests.pipeline.engine.test_runner import alive, comm, family, files, real, until


def run(folder: Path, rows: list[dict], there, workers: int | None = 2, timeout: float = 3.0) -> list[dict]:
    how = toy_stage.Engine(workers, timeout, "ray", there.address)
    return runner.run(toy_stage.job(folder), rows, 4, how).to_pylist()


def meanwhile(action, *, once: Path) -> threading.Thread:
    """Do something as soon as a file is there."""

    def wait() -> None:
        until(once.exists)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def workers() -> list[psutil.Process]:
    """Those of Ray that are at a shard now."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[0].startswith("ray::_shard"):
            found.append(process)
    return found


@pytest.mark.parametrize("count", [1, 2, None])
def test_what_comes_out_is_what_one_machine_makes(tmp_path, ray_cluster, count):
    rows = toy_stage.clips(*["ok"] * 5, "corrupt", "crash", *["ok"] * 6, "hang")
    test_runner.run(tmp_path / "here", rows, timeout=0.5)
    index = run(tmp_path / "there", rows, ray_cluster, count, timeout=0.5)
    assert [r["status"] for r in index].count("ok") == 11
    assert {r["status"] for r in index} == {"ok", "corrupt", "crashed", "timeout"}
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_workers_that_are_killed_change_nothing(tmp_path, ray_cluster):
    rows = toy_stage.clips(*["slow"] * 39, "corrupt")
    test_runner.run(tmp_path / "here", rows)

    def kill() -> None:
        until(workers)
        for worker in workers():
            worker.kill()

    killer = meanwhile(kill, once=tmp_path / "there/00001.index.parquet")
    run(tmp_path / "there", rows, ray_cluster)
    killer.join()
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_a_node_that_leaves_changes_nothing(tmp_path, ray_cluster):
    rows = toy_stage.clips(*["slow"] * 59, "corrupt")
    test_runner.run(tmp_path / "here", rows)
    node = ray_cluster.add_node(num_cpus=1)
    ray_cluster.wait_for_nodes()
    gone = []

    def leave() -> None:
        until(lambda: len(workers()) >= 3)  # it is at work too
        ray_cluster.remove_node(node, allow_graceful=False)
        gone.append(time.monotonic())

    leaver = meanwhile(leave, once=tmp_path / "there/00000.index.parquet")
    run(tmp_path / "there", rows, ray_cluster, workers=None)
    assert gone and time.monotonic() > gone[0]
    leaver.join()
    assert files(tmp_path / "there") == files(tmp_path / "here")


def start(folder: Path, address: str | None, *kinds: str) -> subprocess.Popen:
    how = json.dumps({"workers": 2, "name": "ray", "address": address})
    return real("-m", "testing.toy_stage", str(folder), how, *kinds)


def test_kill_9_then_a_second_run_gives_the_same_bytes(tmp_path, ray_cluster):
    kinds = ["slow"] * 39 + ["corrupt"]
    test_runner.run(tmp_path / "here", toy_stage.clips(*kinds))
    process = start(tmp_path / "there", ray_cluster.address, *kinds)
    until((tmp_path / "there/00001.index.parquet").exists, 60)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (tmp_path / "there/index.parquet").exists()
    done = len(list((tmp_path / "there").glob("0*.index.parquet")))
    assert 1 <= done < 10
    run(tmp_path / "there", toy_stage.clips(*kinds), ray_cluster)
    assert files(tmp_path / "there") == files(tmp_path / "here")


def listening(processes: list[int]) -> set[str]:
    """Addresses at which any of them listens."""
    found = set()
    for number in processes:
        try:
            found |= {
                c.laddr.ip for c in psutil.Process(number).net_connections("inet") if c.status == "LISTEN"
            }
        except psutil.Error:
            continue
    return found


def is_agent(number: int) -> bool:
    """Whether it is one of Ray's agents: by the script that it begins as, or the title that it has then."""
    try:
        words = psutil.Process(number).cmdline()
    except psutil.Error:
        return False
    return any(re.search(r"/agent(/main)?\.py$|^ray::\w+Agent", word) for word in words[:4])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find processes")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_cluster_of_this_machine_is_seen_by_it_alone_and_ends_with_the_run(tmp_path, how):
    process = start(tmp_path / "a", None, *["slow"] * 400)
    until((tmp_path / "a/00001.index.parquet").exists, 90)
    names = family(process.pid)
    assert any("raylet" in name for name in names.values())
    started, agents = set(names), {p for p in names if is_agent(p)}
    assert listening([*started, process.pid]) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        os.kill(process.pid, how)
    process.communicate(timeout=30)
    assert process.returncode != 0
    # Two agents of Ray's own, which do no work, ask for a minute where a killed cluster has gone.
    if how == signal.SIGKILL:
        started -= agents

    def left() -> list[str]:
        return [comm(p) for p in started if alive(p)]

    until(lambda: not left(), 120, left)
    if how == signal.SIGINT:
        assert not list((tmp_path / "a").glob(".*.tmp"))
    assert (tmp_path / "a/00000.npy").exists()


# --- what a user may have wrong ---------------------------------------------------------------------------


def said(folder: Path, **how) -> str:
    with pytest.raises(UserError) as told:
        runner.run(toy_stage.job(folder), toy_stage.clips("ok"), 4, toy_stage.Engine(**how))
    assert "\n" not in str(told.value)
    return str(told.value)


def test_without_ray_it_is_said_how_to_have_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "Ray is not installed: uv pip install ray" in said(tmp_path / "a", name="ray")


def test_an_address_at_which_nobody_answers_is_said(tmp_path, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    began = time.monotonic()
    line = said(tmp_path / "a", name="ray", address="127.0.0.1:9")
    assert re.match(r"engine.address: 127.0.0.1:9: no Ray cluster answers \(.*refused\): start one", line)
    for wrong in ("nowhere", "nowhere.invalid:6379", "127.0.0.1:99999"):
        line = said(tmp_path / "a", name="ray", address=wrong)
        assert line.startswith(f"engine.address: {wrong}: no Ray cluster answers (")
    assert time.monotonic() - began < 5


def test_a_node_that_does_not_see_the_project_is_named(tmp_path):
    before = os.getcwd()
    try:
        with pytest.raises(UserError, match=r"nowhere: node .* does not see it .*or set engine.storage"):
            cluster.enter(str(tmp_path / "nowhere"), needed=True)
        cluster.enter(str(tmp_path / "nowhere"), needed=False)
        assert os.getcwd() == before
        # A storage was chosen just now: what came before still lies in the project.
        task = SimpleNamespace(
            given=Account("data/media/00000.parquet", []),
            kept=[],
            shards=SimpleNamespace(storage="s3://there"),
        )
        with pytest.raises(UserError, match="does not see it"):
            cluster._shard(task, str(tmp_path / "nowhere"), 3.0)
    finally:
        os.chdir(before)
