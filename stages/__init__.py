"""One file for each DVC stage. `python -m stages.wav` runs one; dvc.yaml says what it reads and writes."""

import gc
import os
import sys
from collections.abc import Callable

# While `python -m stages.NAME` imports what it needs, nothing is garbage: to look for some takes a fifth of that.
if sys.argv[0] == "-m":
    gc.disable()


def run(stage: Callable[[], None]) -> None:
    """Run a stage's function: one line for what a user did or brought, a traceback only for our defects."""
    from pipeline.errors import UserError, of_disk

    gc.enable()
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
        if not (told := of_disk(e, stage.__name__)):
            raise
        sys.exit(f"ERROR: {told}")
    except KeyboardInterrupt:
        sys.exit(f"{stage.__name__}: interrupted: what is finished is kept, run again to go on")
