"""What people start besides the pipeline: the page, the export, searches and features of their own files."""

import sys

from pipeline.cli import speed_up_process

if sys.argv[0] == "-m":  # Python is looking for the module of `python -m app.NAME`
    speed_up_process()
