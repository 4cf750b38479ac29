"""One script for each DVC stage: `python -m stages.wav` runs the stage wav.

All read params.yaml and files in the working directory; dvc.yaml lists what each reads and writes.
"""

import sys

from pipeline.cli import speed_up_process

if sys.argv[0] == "-m":  # Python is looking for the module of `python -m stages.NAME`
    speed_up_process()
