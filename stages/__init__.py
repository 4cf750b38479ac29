"""One file for each DVC stage. `python -m stages.wav` runs one; dvc.yaml says what it reads and writes."""

import errno
import os
import sys
from collections.abc import Callable


def run(stage: Callable[[], None]) -> None:
    """Run a stage's function: one line for what a user did or brought, a traceback only for our defects."""
    from pipeline.errors import UserError

    alone = (
        os.environ.get("LOCAL_RANK", "0") == "0"
    )  # or one of several that train together: the first speaks
    if not alone:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        stage()
    except UserError as e:
        sys.exit(f"ERROR: {e}" if alone else 1)
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        sys.exit(f"ERROR: {stage.__name__}: {os.strerror(e.errno)}: make room and run again")
    except KeyboardInterrupt:
        sys.exit(f"{stage.__name__}: interrupted: what is finished is kept, run again to go on")
