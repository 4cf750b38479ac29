# ruff: noqa: F401
"""What stages and DVC import, and take long to: the server that tests start them from has it (warm.py)."""

import atexit
import gc

import av
import cv2
import dvc.cli.parser
import dvc.repo
import dvclive
import lightning
import pebble
import pyarrow.dataset
import pyarrow.parquet
import pydantic.functional_validators
import scipy.signal
import scmrepo.git
import torchmetrics.functional.classification
import yaml

# A collection would go through all of this, and copy its pages: half of the time of a short stage.
gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)  # for libraries that complain of what is left at the end
