"""Runs a stage and notes which parameters, modules and other files of the project it asks for.

    python trace.py LOG MODULE [ARGUMENT ...]

Worker processes import the main module again, so what they ask for is noted too.
"""

import os
import runpy
import sys

LOG = os.environ.setdefault("TRACE_LOG", sys.argv[1] if len(sys.argv) > 1 else os.devnull)
SEEN = set()


def note(kind: str, name: str) -> None:
    if (kind, name) not in SEEN:
        SEEN.add((kind, name))
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(f"{kind} {name}\n")


class Finder:
    """Finds nothing: it only hears of every module that is asked for."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("experiments", "models", "pipeline", "stages"):
            note("module", name)


def hear(event: str, arguments: tuple) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[0].endswith((".css", ".html", ".js")):
        note("file", os.path.relpath(arguments[0]))


sys.meta_path.insert(0, Finder)
sys.addaudithook(hear)
sys.path[0] = os.getcwd()

from pipeline import config  # noqa: E402

read = config.View.__getattr__


def noting(view, name):
    value = read(view, name)
    if not isinstance(value, config.View):
        note("key", f"{view._path}.{name}".lstrip("."))
    return value


config.View.__getattr__ = noting

if __name__ == "__main__":
    module = sys.argv[2]
    sys.argv[:] = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=False)
