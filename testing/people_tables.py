"""What the tables of embedded people have in common, at a size that says nothing but that they come about."""

import shutil

from testing.project import Project

# The data of the project `told`.
PEOPLE = {
    "input": "face",
    "data.source": "people",
    "data.people.people": 4,
    "data.people.clips": 48,
    "data.clip_seconds": 2.0,
    "audio.dtype": "uint8",
    "faces.enabled": True,
    "faces.size": 32,
    "faces.align": True,
}


def table(told: Project, root, name: str, **changes) -> Project:
    """A project for the table `name`, its data made already: that takes longer than all of its networks."""
    own = {"task": "classification", "split.val": 0.2, "split.test": 0.34}
    project = Project.new(root, **{"people_tables.set": PEOPLE | own}, **changes)
    shutil.copytree(told / "data", project / f"tables/{name}/people/data")
    return project
