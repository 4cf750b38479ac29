"""Helpers of the security tests: the outcomes of a file, and which files are opened meanwhile."""

import contextlib
import ctypes
import os
import struct
import sys
from pathlib import Path

import pytest

from pipeline.media.files import Media
from pipeline.media.wav import WavStep
from testing.recordings import AUDIO, clip_row
from tests.pipeline.media.test_frames import step as frames_step
from tests.pipeline.sources.test_audioset import folder as audioset_folder  # noqa: F401

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


def outcomes(path) -> list:
    """Return the outcomes of a file in the stages `wav` and `frames`."""
    media = [Media(str(path), str(path))]
    return [outcome for step in (WavStep(AUDIO, 4.0), frames_step()) for outcome in step([clip_row()], media)]


@contextlib.contextmanager
def record_opened_files(folder: Path):
    """Yield a list; at the end it has the names of the files in the folder that any process opened."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0 and libc.inotify_add_watch(watch, os.fsencode(folder), 0x20) >= 0  # IN_OPEN
    opened_files: list[str] = []
    try:
        yield opened_files
        with contextlib.suppress(BlockingIOError):
            while content := os.read(watch, 65536):
                while content:
                    size = struct.unpack_from("iIII", content)[3]
                    opened_files.append(os.fsdecode(content[16 : 16 + size].rstrip(b"\0")))
                    content = content[16 + size :]
    finally:
        os.close(watch)


class Canary:
    """Make a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
