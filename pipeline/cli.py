"""Run a command so that a mistake of the user ends in one line and not in a traceback."""

import os
import signal
import sys
import threading
from collections.abc import Callable


def run(stage: Callable[[], None]) -> None:
    """Run a stage's function. Exit with one line on a UserError, a disk error or Ctrl-C."""
    from pipeline.errors import UserError, disk_error
    from pipeline.store.arrow import skip_pandas_import

    # Of several processes that train together (DDP), only the first prints.
    is_main = os.environ.get("LOCAL_RANK", "0") == "0"
    if not is_main:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    skip_pandas_import()
    if "DVC_STAGE" in os.environ:
        _terminate_with_dvc()
    try:
        stage()
    except UserError as e:
        sys.exit(f"ERROR: {e}" if is_main else 1)
    except OSError as e:
        if not (error := disk_error(e, stage.__name__)):
            raise
        sys.exit(f"ERROR: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{stage.__name__}: interrupted: what is finished is kept, run again to go on")


def _terminate_with_dvc() -> None:
    """Send SIGTERM to this process when its `dvc` has ended: it would disturb the next run."""
    import psutil

    # DVC starts `sh -c`, and some shells (dash) stay between it and the stage. What it starts has DVC_STAGE.
    try:
        dvc = next(p for p in psutil.Process().parents() if "DVC_STAGE" not in p.environ())
    except (psutil.Error, StopIteration):  # it ended just now, or belongs to another user
        return

    def watch() -> None:
        dvc.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
