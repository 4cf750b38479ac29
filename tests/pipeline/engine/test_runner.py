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
from pipeline.store.shards import read_index
from testing.toy_stage import Engine, clips, job
from testing.warm import Warm

ROOT = Path(__file__).resolve().parents[3]


def run(folder, rows, made_from="v1", upstream=None, workers=2, timeout=3.0):
    return runner.run(job(folder, made_from, upstream), rows, 4, Engine(workers, timeout)).to_pylist()


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def start(folder: Path, *kinds: str, **how: Any) -> Warm:
    """The same in a process of its own. how: of the section `engine`; the way to a storage is as here."""
    env = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "EARSIGHT_"))}
    return Warm(ROOT, ["testing.toy_stage", str(folder), json.dumps(how), *kinds], env)


def real(*words: str) -> subprocess.Popen:
    """Python in a process of its own, that nobody else has imported anything for."""
    command, pipe = [sys.executable, *words], subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def until(there, seconds=30.0, told=lambda: None):
    """Wait until `there()` is true; fail where it does not come, with what `told()` says."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


def family(root: int) -> dict[int, str]:
    """All processes that `root` started, and those that they did: number -> name."""
    found, todo = {}, [root]
    while todo:
        parent = todo.pop()
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, rest = entry.read_text().rsplit(")", 1)
            except OSError:
                continue
            if int(rest.split()[1]) == parent:
                todo.append(int(entry.parent.name))
                found[todo[-1]] = name.split("(", 1)[1]
    return found


def comm(process: int) -> str:
    """What a process calls itself; nothing where it has ended."""
    try:
        return Path(f"/proc/{process}/comm").read_text()
    except OSError:
        return ""


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_every_clip_is_data_or_a_row_that_says_why_not(tmp_path, capsys):
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
def test_a_clip_that_crashes_or_hangs_costs_its_neighbours_nothing(tmp_path, kind, status):
    index = run(tmp_path / "a", clips("ok", kind, "ok", "corrupt", "ok"), timeout=0.5)
    assert [r["status"] for r in index] == ["ok", status, "ok", "corrupt", "ok"]
    assert np.load(tmp_path / "a/00000.npy")[:, 0, 0].tolist() == [0, 2]
    assert "SIGSEGV" in index[1]["detail"] or "engine.timeout" in index[1]["detail"]


def test_a_clip_that_asks_for_too_much_costs_its_neighbours_nothing(tmp_path):
    index = run(tmp_path / "a", clips("ok", "greedy", "ok", "corrupt", "ok"))
    assert [r["status"] for r in index] == ["ok", "crashed", "ok", "corrupt", "ok"]
    assert "more than 4 GB of memory" in index[1]["detail"]
    assert np.load(tmp_path / "a/00000.npy")[:, 0, 0].tolist() == [0, 2]


def test_workers_change_nothing(tmp_path):
    rows = clips(*["ok"] * 9, "corrupt", "crash")
    run(tmp_path / "a", rows, workers=1)
    run(tmp_path / "b", rows, workers=2)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_second_run_makes_nothing(tmp_path, capsys):
    run(tmp_path / "a", clips(*["ok"] * 6))
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "a").glob("0*")}
    capsys.readouterr()
    run(tmp_path / "a", clips(*["ok"] * 6))
    assert "0 made, nothing to do" in capsys.readouterr().out
    assert before == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "a").glob("0*")}


@pytest.mark.parametrize("where", ["front", "middle", "end"])
def test_an_added_clip_costs_one_clip(tmp_path, capsys, where):
    rows = clips(*["ok"] * 10)
    run(tmp_path / "a", rows)
    new = clips("ok", first=77)
    at = {"front": 0, "middle": 5, "end": 10}[where]
    rows = rows[:at] + new + rows[at:]
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


def test_other_parameters_make_all_anew(tmp_path, capsys):
    run(tmp_path / "a", clips(*["ok"] * 6))
    capsys.readouterr()
    run(tmp_path / "a", clips(*["ok"] * 6), made_from="v2")
    assert "; 6 made" in capsys.readouterr().out


def test_a_crash_is_tried_again_next_time(tmp_path, capsys):
    run(tmp_path / "a", clips("ok", "crash"))
    capsys.readouterr()
    run(tmp_path / "a", clips("ok", "crash"))
    assert "2 clips in, 1 ok, 1 crashed; 1 made" in capsys.readouterr().out


def test_what_fell_out_upstream_is_carried(tmp_path):
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


def test_workers_end_before_what_they_share(tmp_path, monkeypatch):
    """One that is only starting would find no lock, and print a traceback."""
    close = WorkerManager.close_channels

    def closing(manager) -> None:
        until(lambda: not any(worker.is_alive() for worker in manager.workers.values()), 10)
        close(manager)

    monkeypatch.setattr(WorkerManager, "close_channels", closing)
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
def test_a_process_that_ends_takes_what_it_was_writing_along(tmp_path):
    with pytest.raises(FileNotFoundError), atomic.written(tmp_path / "a") as part:
        part.write_bytes(b"half")
        atomic.abandon()
        assert not part.exists()
    with atomic.written(tmp_path / "b") as part:
        part.write_bytes(b"whole")
    atomic.abandon()
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_kill_9_leaves_no_worker(tmp_path):
    process = start(tmp_path / "a", *["slow"] * 8, *["hang"] * 8)
    until((tmp_path / "a/00000.index.parquet").exists)
    orphans = family(process.pid)
    assert len(orphans) >= 3  # two workers, and what starts them
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    until(lambda: not any(alive(o) for o in orphans), 5)


def test_kill_9_while_old_shards_are_taken_over(tmp_path):
    kinds = ["slow"] * 12
    rows = clips("ok", first=90) + clips(*kinds)
    run(tmp_path / "whole", rows)
    run(tmp_path / "a", clips(*kinds))
    stale = job(tmp_path / "a")
    stale.shards.prepare([["other"]] * 3)  # what a run does first, before it is killed
    run(tmp_path / "a", rows)
    assert files(tmp_path / "a") == files(tmp_path / "whole")


def test_ctrl_c_is_quick_and_resumable(tmp_path):
    kinds = ["slow"] * 200
    process = start(tmp_path / "a", *kinds)
    until((tmp_path / "a/00001.index.parquet").exists)
    left = family(process.pid)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode != 0
    assert len(left) >= 2
    until(lambda: not any(alive(p) for p in left), 5)
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


def test_ctrl_c_while_locks_are_held_ends_it_too(tmp_path):
    """The pool's threads wait for the locks that waiting for results takes."""
    process = real("-c", INTERRUPTED, str(tmp_path / "a"), *["slow"] * 40)
    try:
        _, err = process.communicate(timeout=20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert process.returncode == -signal.SIGINT
    assert not list((tmp_path / "a").glob(".*"))


def test_ctrl_c_that_is_ignored_stays_so(tmp_path):
    """As nohup has it."""
    ignored = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    process = real("-c", ignored + INTERRUPTED, str(tmp_path / "a"), *["ok"] * 40)
    out, err = process.communicate(timeout=60)
    assert out.startswith("toy: 40 clips in, 40 ok") and not err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_is_said_and_leaves_no_half_shard(tmp_path):
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


def test_no_index_is_one_line(tmp_path):
    with pytest.raises(UserError, match="run the stage"):
        read_index(tmp_path)
