import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline import ffmpeg
from pipeline.errors import UserError


@pytest.fixture(autouse=True)
def fresh():
    ffmpeg.binary.cache_clear()
    yield
    ffmpeg.binary.cache_clear()


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def saying(path, version):
    return script(path, f"echo ffmpeg version {version} Copyright")


def test_a_binary_is_there():
    assert ffmpeg.version(ffmpeg.binary()) >= (4, 0)


@pytest.mark.parametrize(
    "system, taken", [("2.8.1", False), ("99.1", True), ("N-123-gabcdef", True), ("nonsense", True)]
)
def test_the_newer_one_is_taken(tmp_path, monkeypatch, system, taken):
    own = saying(tmp_path / "own", "n9.0.2-17")
    saying(tmp_path / "ffmpeg", system)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    monkeypatch.setattr(ffmpeg.imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(own))
    assert (ffmpeg.binary() == str(tmp_path / "ffmpeg")) == taken


@pytest.mark.parametrize("variable", ["EARSIGHT_FFMPEG", "IMAGEIO_FFMPEG_EXE"])
def test_the_user_s_choice_wins(tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, str(saying(tmp_path / "mine", "1.0")))
    assert ffmpeg.binary() == str(tmp_path / "mine")
    ffmpeg.binary.cache_clear()
    monkeypatch.setenv(variable, str(tmp_path / "missing"))
    with pytest.raises(UserError, match=f"{variable}.*missing"):
        ffmpeg.binary()


def test_none_at_all(monkeypatch):
    def none():
        raise RuntimeError("no binary")

    monkeypatch.setenv("PATH", "")
    for variable in ("EARSIGHT_FFMPEG", "IMAGEIO_FFMPEG_EXE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(ffmpeg.imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(UserError, match="install ffmpeg"):
        ffmpeg.binary()


def test_names_become_no_options_or_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ffmpeg.url("-i") == f"file:{tmp_path}/-i"
    assert ffmpeg.url("http:x") == f"file:{tmp_path}/http:x"


def test_run_tells_status_and_words(tmp_path):
    assert ffmpeg.run([str(script(tmp_path / "a", "echo wrong >&2; exit 3"))], 20) == (3, "wrong\n")


def test_what_takes_too_long_is_killed_with_its_children(tmp_path):
    program = script(tmp_path / "a", f"sleep 60 & echo $! > {tmp_path}/child; wait")
    began = time.monotonic()
    assert ffmpeg.run([str(program)], 0.5) == (None, "")
    assert time.monotonic() - began < 10
    assert gone(int((tmp_path / "child").read_text()))


@pytest.mark.skipif(ffmpeg._setpriv() is None, reason="no setpriv on this system")
def test_it_does_not_outlive_its_parent(tmp_path):
    program = script(tmp_path / "a", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    code = f"from pipeline import ffmpeg; ffmpeg.run([{str(program)!r}], 60)"
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (
        (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()
    ):
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert gone(int((tmp_path / "pid").read_text()))


def gone(pid):
    """Whether a process ends within seconds; one that nobody waits for (a zombie) has ended."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False
