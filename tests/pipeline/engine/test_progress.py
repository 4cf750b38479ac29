"""A bar on a terminal, and nothing of it left there; plain lines elsewhere."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.engine import progress
from pipeline.engine.progress import Progress

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import time
from pipeline.engine.progress import Progress
with Progress("wav", 40, done=10) as bar:
    for _ in range(3):
        time.sleep(0.15)
        bar.advance(10)
print("done", flush=True)
"""


def test_a_bar_on_a_terminal_is_gone_at_the_end():
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=child,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(child)
    out, shown = process.communicate(timeout=60)[0], b""
    try:
        while part := os.read(parent, 65536):
            shown += part
    except OSError:  # all is read
        pass
    os.close(parent)
    assert process.returncode == 0 and out == b"done\n"
    assert b"wav" in shown and b"clips/s" in shown and b"/40" in shown
    assert shown.rstrip().endswith(b"\x1b[2K")  # the line is wiped


def test_plain_lines_elsewhere(monkeypatch, capsys):
    now = iter([0.0, 5.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with Progress("wav", 100, done=20) as told:
        told.advance(10)
        told.advance(10)
    out, err = capsys.readouterr()
    assert out == "wav: 40 of 100 clips, 1.0 clips/s, 60 s left\n" and not err


@pytest.mark.parametrize("total", [0, 5])
def test_a_short_run_says_nothing(total, capsys):
    with Progress("wav", total) as told:
        told.advance(total)
    assert capsys.readouterr() == ("", "")
