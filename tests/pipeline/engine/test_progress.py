"""A bar on a terminal, which is removed at the end; plain lines elsewhere."""

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
with Progress("wav", 40, completed=10) as bar:
    for _ in range(3):
        time.sleep(0.15)
        bar.advance(10)
print("done", flush=True)
"""


def test_a_bar_on_a_terminal_is_removed_at_the_end():
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=child,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(child)
    out, screen = process.communicate(timeout=60)[0], b""
    try:
        while part := os.read(parent, 65536):
            screen += part
    except OSError:  # all is read
        pass
    os.close(parent)
    assert process.returncode == 0 and out == b"done\n"
    assert b"wav" in screen and b"clips/s" in screen and b"/40" in screen
    assert screen.rstrip().endswith(b"\x1b[2K")  # the line is wiped


def test_plain_lines_elsewhere(monkeypatch, capsys):
    now = iter([0.0, 5.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with Progress("wav", 100, completed=20) as progress_:
        progress_.advance(10)
        progress_.advance(10)
    out, err = capsys.readouterr()
    assert out == "wav: 40 of 100 clips, 1.0 clips/s, 60 s left\n" and not err


@pytest.mark.parametrize("total", [0, 5])
def test_a_short_run_prints_nothing(total, capsys):
    with Progress("wav", total) as progress_:
        progress_.advance(total)
    assert capsys.readouterr() == ("", "")
