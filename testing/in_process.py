"""Run a command of app/ in the process of the test, which has imported what the command needs."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from pipeline.cli import run


def run_command(command: Callable[[], None], folder: Path, *arguments: Any) -> tuple[int, str, str]:
    """Run a command in a folder. Returns (exit status, standard output, error line)."""
    words = [command.__name__, *map(str, arguments)]
    output = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output), mock.patch("sys.argv", words):
        try:
            run(command)
        except SystemExit as e:
            return 1, output.getvalue(), str(e.code)
    return 0, output.getvalue(), ""
