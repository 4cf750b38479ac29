"""Run a command so that a mistake of the user ends in one line and not in a traceback."""

import os
import signal
import sys
import threading
import time
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
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
