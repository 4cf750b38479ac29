"""What people start besides the pipeline: the page, the export, searches and features of their own files."""

from pipeline.cli import speed_up_process

speed_up_process()
