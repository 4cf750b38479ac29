"""Resource limits, each test in a new process, since limits cannot be removed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems count otherwise")


def run_code(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return result.stdout + "".join(result.stderr.splitlines()[-1:])


LIMIT = (
    "import sys, numpy as np; from pipeline.engine import limits; limits.limit_process(256 << 20, 1 << 20)\n"
)


def test_memory():
    assert "MemoryError" in run_code(LIMIT + "np.empty(300 << 20, np.uint8)")
    assert run_code(LIMIT + "print(len(np.ones(150 << 20, np.uint8)))") == f"{150 << 20}\n"


def test_files_mapped_for_reading_do_not_count(tmp_path):
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (600 << 20,)).flush()
    code = LIMIT + "print(np.load(sys.argv[1], mmap_mode='r')[:: 1 << 20].sum())"
    assert run_code(code, tmp_path / "a.npy") == "0\n"


def test_files(tmp_path):
    code = (
        LIMIT + "f = open(sys.argv[1], 'wb'); f.write(bytes(1 << 20)); print(f.tell()); f.write(bytes(9000))"
    )
    assert run_code(code, tmp_path / "a").startswith(f"{1 << 20}\nOSError: [Errno 27]")
    assert (tmp_path / "a").stat().st_size == 1 << 20


def test_child_processes_have_the_same_limits(tmp_path):
    code = LIMIT + "import subprocess; print(subprocess.run(['head', '-c', '2M', '/dev/zero'], "
    code += "stdout=open(sys.argv[1], 'wb')).returncode != 0)"
    assert run_code(code, tmp_path / "a") == "True\n" and (tmp_path / "a").stat().st_size == 1 << 20


def test_no_core_is_dumped_and_limits_cannot_be_raised():
    code = LIMIT + (
        "import resource\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
        "limits.limit_process(1 << 40, 1 << 40)\n"
        "print(resource.getrlimit(resource.RLIMIT_FSIZE))\n"
    )
    assert run_code(code) == f"(0, 0)\n{(1 << 20, 1 << 20)}\n"


def test_a_download_has_limits():
    code = (
        "import resource; from pipeline.download import ytdlp\n"
        "ytdlp.watch_parent = lambda clear: None\n"
        "ytdlp.start_worker()\n"
        "print(resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 2 * ytdlp.MAX_BYTES)\n"
        "print(0 < resource.getrlimit(resource.RLIMIT_DATA)[0] < 2 * ytdlp.MAX_MEMORY)\n"
    )
    assert run_code(code) == "True\nTrue\n"
