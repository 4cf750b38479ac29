"""One file for each DVC stage. `python -m stages.wav` runs one; dvc.yaml says what it reads and writes."""

import sys
from collections.abc import Callable


def run(stage: Callable[[], None]) -> None:
    """Run a stage's function: one line for what a user did or brought, a traceback only for our defects."""
    from pipeline.errors import UserError

    try:
        stage()
    except UserError as e:
        sys.exit(f"ERROR: {e}")
    except KeyboardInterrupt:
        sys.exit(f"{stage.__name__}: interrupted: what is finished is kept, run again to go on")
