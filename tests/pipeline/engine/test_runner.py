import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pebble.pool.process import WorkerManager

from pipeline.engine import runner
from pipeline.errors import UserError
from pipeline.store import atomic
from pipeline.store.shards import Shards, read_index
from testing.preloaded_process import PreloadedProcess
from testing.toy_stage import Engine, clips, job

ROOT = Path(__file__).resolve().parents[3]


def run(folder, rows, fingerprint="v1", upstream=None, workers=2, timeout=3.0):
    return runner.run(job(folder, fingerprint, upstream), rows, 4, Engine(workers, timeout)).to_pylist()


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def start(folder: Path, *kinds: str, **engine: Any) -> PreloadedProcess:
    """Run the toy stage in a new process. engine: keys of that section of params.yaml."""
    env = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "EARSIGHT_"))}
    return PreloadedProcess(ROOT, ["testing.toy_stage", str(folder), json.dumps(engine), *kinds], env)


def start_python(*words: str) -> subprocess.Popen:
    """Start Python in a new process group, without the preloaded modules of `start`."""
    command, pipe = [sys.executable, *words], subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def until(condition, seconds=30.0, describe=lambda: None):
    """Wait until `condition()` is true. After `seconds`, fail with the message that `describe()` returns."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.02)


def descendants(root: int) -> dict[int, str]:
    """Return all child processes of `root`, their children and so on: process id -> name."""
    names, queue = {}, [root]
    while queue:
        parent = queue.pop()
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, rest = entry.read_text().rsplit(")", 1)
            except OSError:
                continue
            if int(rest.split()[1]) == parent:
                queue.append(int(entry.parent.name))
                names[queue[-1]] = name.split("(", 1)[1]
    return names


def process_name(process: int) -> str:
    """Return the name of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{process}/comm").read_text()
    except OSError:
        return ""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_every_clip_has_a_value_or_a_reason(tmp_path, capsys):
    rows = clips("ok", "corrupt", "ok", "ok", "ok", "corrupt")
    index = run(tmp_path / "a", rows)
    assert [r["clip_id"] for r in index] == [c["clip_id"] for c in rows]
    assert [r["status"] for r in index] == ["ok", "corrupt", "ok", "ok", "ok", "corrupt"]
    assert [(r["shard"], r["row"]) for r in index] == [(0, 0), (0, None), (0, 1), (0, 2), (1, 0), (1, None)]
    assert np.load(tmp_path / "a/00000.npy")[:, 0, 0].tolist() == [0, 2, 3]
    assert "6 clips in, 4 ok, 2 corrupt; 6 made" in capsys.readouterr().out
    assert sorted(files(tmp_path / "a")) == [
        "00000.index.parquet", "00000.npy", "00001.index.parquet", "00001.npy", "index.parquet",
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "status"), [("crash", "crashed"), ("hang", "timeout")])
def test_a_clip_that_crashes_or_hangs_does_not_affect_other_clips(tmp_path, kind, status):
    index = run(tmp_path / "a", clips("ok", kind, "ok", "corrupt", "ok"), timeout=0.5)
    assert [r["status"] for r in index] == ["ok", status, "ok", "corrupt", "ok"]
    assert np.load(tmp_path / "a/00000.npy")[:, 0, 0].tolist() == [0, 2]
    assert "SIGSEGV" in index[1]["detail"] or "engine.timeout" in index[1]["detail"]


def test_a_clip_that_needs_too_much_memory_does_not_affect_other_clips(tmp_path):
    index = run(tmp_path / "a", clips("ok", "greedy", "ok", "corrupt", "ok"))
    assert [r["status"] for r in index] == ["ok", "crashed", "ok", "corrupt", "ok"]
    assert "more than 4 GB of memory" in index[1]["detail"]
    assert np.load(tmp_path / "a/00000.npy")[:, 0, 0].tolist() == [0, 2]


def test_the_number_of_workers_changes_nothing(tmp_path):
    rows = clips(*["ok"] * 9, "corrupt", "crash")
    run(tmp_path / "a", rows, workers=1)
    run(tmp_path / "b", rows, workers=2)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_second_run_computes_nothing(tmp_path, capsys):
    run(tmp_path / "a", clips(*["ok"] * 6))
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "a").glob("0*")}
    capsys.readouterr()
    run(tmp_path / "a", clips(*["ok"] * 6))
    assert "0 made, nothing to do" in capsys.readouterr().out
    assert before == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "a").glob("0*")}


@pytest.mark.parametrize("where", ["front", "middle", "end"])
def test_an_added_clip_computes_one_clip(tmp_path, capsys, where):
    rows = clips(*["ok"] * 10)
    run(tmp_path / "a", rows)
    added = clips("ok", first=77)
    position = {"front": 0, "middle": 5, "end": 10}[where]
    rows = rows[:position] + added + rows[position:]
    capsys.readouterr()
    run(tmp_path / "a", rows)
    assert "; 1 made" in capsys.readouterr().out
    run(tmp_path / "fresh", rows)
    assert files(tmp_path / "a") == files(tmp_path / "fresh")


def test_removed_clips_leave_nothing_behind(tmp_path, capsys):
    rows = clips(*["ok"] * 10)
    run(tmp_path / "a", rows)
    capsys.readouterr()
    run(tmp_path / "a", rows[3:7])
    assert "; 0 made" in capsys.readouterr().out
    run(tmp_path / "fresh", rows[3:7])
    assert files(tmp_path / "a") == files(tmp_path / "fresh")


def test_new_parameters_compute_all_clips_again(tmp_path, capsys):
    run(tmp_path / "a", clips(*["ok"] * 6))
    capsys.readouterr()
    run(tmp_path / "a", clips(*["ok"] * 6), fingerprint="v2")
    assert "; 6 made" in capsys.readouterr().out


def test_a_crash_is_retried_in_the_next_run(tmp_path, capsys):
    run(tmp_path / "a", clips("ok", "crash"))
    capsys.readouterr()
    run(tmp_path / "a", clips("ok", "crash"))
    assert "2 clips in, 1 ok, 1 crashed; 1 made" in capsys.readouterr().out


def test_failures_of_the_stage_before_are_kept(tmp_path):
    rows = clips("ok", "corrupt", "ok", "ok", "crash")
    first = job(tmp_path / "a")
    runner.run(first, rows, 4, Engine())
    index = run(tmp_path / "b", [dict(r, kind="ok") for r in rows], upstream=first.shards)
    assert [r["status"] for r in index] == ["ok", "corrupt", "ok", "ok", "crashed"]
    assert index[1]["detail"] == "not a clip"


def test_upstream_for_other_clips_is_refused(tmp_path):
    first = job(tmp_path / "a")
    runner.run(first, clips("ok", "ok"), 4, Engine())
    with pytest.raises(UserError, match="run dvc repro"):
        run(tmp_path / "b", clips("ok"), upstream=first.shards)


def test_workers_end_before_their_locks_are_closed(tmp_path, monkeypatch):
    """A worker that is still starting would print a traceback."""
    close = WorkerManager.close_channels

    def close_late(manager) -> None:
        until(lambda: not any(worker.is_alive() for worker in manager.workers.values()), 10)
        close(manager)

    monkeypatch.setattr(WorkerManager, "close_channels", close_late)
    assert all(r["status"] == "ok" for r in run(tmp_path / "a", clips(*["ok"] * 5)))


def test_kill_9_then_a_second_run_gives_the_same_bytes(tmp_path):
    kinds = ["slow"] * 19 + ["corrupt"]
    run(tmp_path / "whole", clips(*kinds))
    process = start(tmp_path / "killed", *kinds)
    until((tmp_path / "killed/00001.index.parquet").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (tmp_path / "killed/index.parquet").exists()
    run(tmp_path / "killed", clips(*kinds))
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find processes")
def test_temporary_files_are_deleted_at_the_end_of_a_process(tmp_path):
    with pytest.raises(FileNotFoundError), atomic.atomic_write(tmp_path / "a") as temporary_path:
        temporary_path.write_bytes(b"half")
        atomic.delete_temporary_files()
        assert not temporary_path.exists()
    with atomic.atomic_write(tmp_path / "b") as temporary_path:
        temporary_path.write_bytes(b"whole")
    atomic.delete_temporary_files()
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_kill_9_leaves_no_worker(tmp_path):
    process = start(tmp_path / "a", *["slow"] * 8, *["hang"] * 8)
    until((tmp_path / "a/00000.index.parquet").exists)
    orphans = descendants(process.pid)
    assert len(orphans) >= 3  # two workers, and the server that forks them
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    until(lambda: not any(is_alive(o) for o in orphans), 5)


def test_kill_9_while_stale_shards_are_reused(tmp_path):
    kinds = ["slow"] * 12
    rows = clips("ok", first=90) + clips(*kinds)
    run(tmp_path / "whole", rows)
    run(tmp_path / "a", clips(*kinds))
    stale = job(tmp_path / "a")
    Shards.from_layout(stale.shards).start_run([["other"]] * 3)  # as a run that is killed directly after it
    run(tmp_path / "a", rows)
    assert files(tmp_path / "a") == files(tmp_path / "whole")


def test_ctrl_c_stops_quickly_and_the_run_can_be_resumed(tmp_path):
    kinds = ["slow"] * 200
    process = start(tmp_path / "a", *kinds)
    until((tmp_path / "a/00001.index.parquet").exists)
    children = descendants(process.pid)
    start_time = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - start_time < 5
    assert process.returncode != 0
    assert len(children) >= 2
    until(lambda: not any(is_alive(p) for p in children), 5)
    assert not list((tmp_path / "a").glob(".*.tmp"))
    assert (tmp_path / "a/00000.npy").exists()


INTERRUPTED = """
import signal, sys
from concurrent.futures import _base
from pathlib import Path
from pipeline.engine import runner as engine
from testing import toy_stage as toy
leave = _base._AcquireFutures.__exit__

def interrupted(futures, *failure):
    signal.raise_signal(signal.SIGINT)
    leave(futures, *failure)

if __name__ == "__main__":
    _base._AcquireFutures.__exit__ = interrupted
    engine.run(toy.job(Path(sys.argv[1])), toy.clips(*sys.argv[2:]), 4, toy.Engine())
"""


def test_ctrl_c_while_locks_are_held_stops_the_run(tmp_path):
    """`concurrent.futures.wait` holds locks that threads of the pool wait for."""
    process = start_python("-c", INTERRUPTED, str(tmp_path / "a"), *["slow"] * 40)
    try:
        _, err = process.communicate(timeout=20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert process.returncode == -signal.SIGINT
    assert not list((tmp_path / "a").glob(".*"))


def test_ctrl_c_stays_ignored(tmp_path):
    """As under nohup."""
    ignored = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    process = start_python("-c", ignored + INTERRUPTED, str(tmp_path / "a"), *["ok"] * 40)
    out, err = process.communicate(timeout=60)
    assert out.startswith("toy: 40 clips in, 40 ok") and not err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_is_one_line_and_leaves_no_partial_shard(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(small)], capture_output=True
    ).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        process = start(small / "a", *["ok"] * 400)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "No space left on device" in err and "Traceback" not in err
        for data in (small / "a").glob("0*.npy"):
            np.load(data)
        assert not list((small / "a").glob(".*.tmp"))
        assert not (small / "a/index.parquet").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_missing_index_is_one_line(tmp_path):
    with pytest.raises(UserError, match="run the stage"):
        read_index(tmp_path)
