"""Tasks, a file each: what a model learns from which clips, and how it is evaluated, described and exported.

models/tasks/_base.py documents what a task must and may define. Listing names imports no task.
"""

from models.registry import Registry

tasks = Registry("task", __name__, __path__)
