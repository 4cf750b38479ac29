# ruff: noqa: F401
"""The slow imports of stages and DVC: the fork server of preloaded_process.py has done them already."""

import atexit
import gc

import av
import cv2
import dvc.cli.parser
import dvc.repo.brancher
import dvc.repo.datasets
import dvclive
import faiss
import huggingface_hub
import imageio_ffmpeg
import jinja2
import lightning
import pebble
import pyarrow.dataset
import pyarrow.parquet
import s3fs
import scipy.signal
import sklearn.linear_model
import sklearn.metrics
import timm
import torchmetrics.functional.classification
import yaml
import yt_dlp
from pydantic import BaseModel, PositiveInt, field_validator, model_validator

# Half a second of each download that is not from YouTube: the patterns of all sites, of which none fits.
for site in yt_dlp.extractor.gen_extractor_classes():
    site.suitable("http://127.0.0.1/")

# A collection would go through all of this, and copy its pages: half of the time of a short stage.
gc.collect()
gc.freeze()
gc.set_threshold(50_000)  # as in tests/conftest.py
atexit.register(gc.unfreeze)  # for libraries that complain of what is left at the end
