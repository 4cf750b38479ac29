"""Run a stage and log which parameters, modules and other files of the project it reads.

    python trace.py LOG MODULE [ARGUMENT ...]

Worker processes import the main module again, so what they read is logged too.
"""

import os
import runpy
import sys

LOG = os.environ.setdefault("TRACE_LOG", sys.argv[1] if len(sys.argv) > 1 else os.devnull)
NOTED = set()


def note(kind: str, name: str) -> None:
    if (kind, name) not in NOTED:
        NOTED.add((kind, name))
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(f"{kind} {name}\n")


class ImportRecorder:
    """An import finder that logs module names and finds nothing."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("experiments", "models", "pipeline", "stages"):
            note("module", name)


def record_open(event: str, arguments: tuple) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[0].endswith((".css", ".html", ".js")):
        note("file", os.path.relpath(arguments[0]))


sys.meta_path.insert(0, ImportRecorder)
sys.addaudithook(record_open)
sys.path[0] = os.getcwd()

from pipeline import config  # noqa: E402

get_value = config.View.__getattr__


def get_and_note(view, name):
    value = get_value(view, name)
    if not isinstance(value, config.View):
        note("key", f"{view._section_key}.{name}".lstrip("."))
    return value


config.View.__getattr__ = get_and_note

if __name__ == "__main__":
    module = sys.argv[2]
    sys.argv[:] = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=False)
