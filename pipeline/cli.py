"""How a command ends: a mistake of the user is one line, and no traceback."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable


def run(stage: Callable[[], None]) -> None:
    """Run a stage's function: one line for what a user did or brought, a traceback only for our defects."""
    from pipeline.errors import UserError, of_disk
    from pipeline.store.arrow import spare_pandas

    alone = (
        os.environ.get("LOCAL_RANK", "0") == "0"
    )  # or one of several that train together: the first speaks
    if not alone:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    spare_pandas()
    if "DVC_STAGE" in os.environ:
        _end_with_dvc()
    try:
        stage()
    except UserError as e:
        sys.exit(f"ERROR: {e}" if alone else 1)
    except OSError as e:
        if not (told := of_disk(e, stage.__name__)):
            raise
        sys.exit(f"ERROR: {told}")
    except KeyboardInterrupt:
        sys.exit(f"{stage.__name__}: interrupted: what is finished is kept, run again to go on")


def _end_with_dvc() -> None:
    """End as by SIGTERM once the `dvc` that runs this stage is gone: the next run would work beside it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
