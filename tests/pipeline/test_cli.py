"""How a command ends: its output, its exit status, and what it leaves."""

import subprocess
import sys

import pytest

PACKAGE = """
from pipeline.cli import speed_up_process
speed_up_process()
"""
COMMAND = """
import atexit
import gc
import sys
import tempfile
from pipeline.cli import run
from pipeline.errors import UserError

class Garbage:
    def __del__(self):
        print("collected")

def command():
    atexit.register(print, "exit function")
    print("folder", tempfile.TemporaryDirectory(dir=".").name)
    garbage = Garbage()
    garbage.itself = garbage
    del garbage
    gc.collect()
    print("x" * 100_000)
    if "fail" in sys.argv:
        raise UserError("params.yaml: train.epochs: must be at least 1")

if __name__ == "__main__":
    run(command)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands/__init__.py").write_text(PACKAGE)
    (tmp_path / "commands/example.py").write_text(COMMAND)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [([], 0, ""), (["fail"], 1, "ERROR: params.yaml: train.epochs: must be at least 1\n")],
)
def test_a_process_that_exits_at_once_loses_nothing(folder, arguments, status, message):
    process = subprocess.run(
        [sys.executable, "-m", "commands.example", *arguments],
        env={"PYTHONPATH": ":".join([".", *sys.path])},
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (status, message)
    assert process.stdout.split("\n")[1:] == ["collected", "x" * 100_000, "exit function", ""]
    assert [path.name for path in folder.iterdir()] == ["commands"]  # no temporary folder
