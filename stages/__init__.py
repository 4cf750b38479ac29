"""One script for each DVC stage: `python -m stages.wav` runs the stage wav.

All read params.yaml and files in the working directory; dvc.yaml lists what each reads and writes.
"""

from pipeline.cli import speed_up_process

speed_up_process()
