"""Tasks, by name, a file each: what is learnt from which clips, and how it is evaluated, shown and exported.

What a task may and must have is written in models/tasks/_base.py. Asking for names imports no task.
"""

from models.registry import Registry

tasks = Registry("task", __name__, __path__)
