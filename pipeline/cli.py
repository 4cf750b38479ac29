"""Run a command so that a mistake of the user ends in one line and not in a traceback."""

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable

_succeeded = False  # whether the command of `run` is done


def speed_up_process() -> None:
    """Make a process that was started by `python -m` import and exit faster.

    The `__init__.py` of a package of commands calls it, before anything slow is imported; it does nothing in
    processes that are started in another way. Modules and what they define live as long as the process.
    Without this, Python searches them for garbage while more of them are imported, and once more when it
    exits: 2 of the 5 s that importing PyTorch takes.
    """
    if sys.argv[0] == "-m":  # Python is still looking for the module that it shall run
        gc.disable()  # until `run`
        atexit.register(_exit_at_once)  # what is registered first is called last


def _exit_at_once() -> None:
    """Leave out what Python does after all functions of atexit: it deletes each object of each module."""
    if _succeeded:
        sys.stdout.flush()
        os._exit(0)
    gc.unfreeze()  # else libraries print what they find left


def run(command: Callable[[], None]) -> None:
    """Call the function of a stage or of another command.

    On a UserError, a full disk, a missing permission or Ctrl-C, print its message and exit with status 1.
    """
    from pipeline.errors import UserError, explain_disk_error
    from pipeline.store.arrow import skip_pandas_import

    if not gc.isenabled():  # speed_up_process
        gc.freeze()  # never search what is imported
        gc.enable()
    # Of several processes that train together (DDP), only the first prints.
    is_first_process = os.environ.get("LOCAL_RANK", "0") == "0"
    if not is_first_process:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    skip_pandas_import()
    if "DVC_STAGE" in os.environ:  # DVC runs this process
        _exit_when_dvc_exits()
    try:
        command()
    except UserError as e:
        sys.exit(f"ERROR: {e}" if is_first_process else 1)
    except OSError as e:
        error = explain_disk_error(e, command.__name__)
        if error is None:  # not the user's mistake: a traceback helps to find the defect
            raise
        sys.exit(f"ERROR: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{command.__name__}: interrupted: what is finished is kept, run again to go on")
    global _succeeded
    _succeeded = True


def _exit_when_dvc_exits() -> None:
    """Start a thread that ends this process (SIGTERM) when the `dvc` that runs it has ended.

    Otherwise a stage whose `dvc` was killed would go on, and write the same files as the next run of it.
    """
    import psutil

    # DVC sets the environment variable DVC_STAGE for the processes that it starts: this one, and the shell
    # between (`sh -c`). The nearest ancestor without the variable is `dvc` itself.
    try:
        ancestors = psutil.Process().parents()  # the nearest first
        dvc = next(process for process in ancestors if "DVC_STAGE" not in process.environ())
    except (psutil.Error, StopIteration):  # `dvc` has ended just now, or belongs to another user
        return

    def wait_and_exit() -> None:
        dvc.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait_and_exit, daemon=True).start()
