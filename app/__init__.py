"""What people start besides the pipeline: the page, searches, features, exports of models, packs of clips."""

from pipeline.cli import speed_up_process

speed_up_process()
