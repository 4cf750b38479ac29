"""What the tables of embedded people have in common, at a size that says nothing but that they come about."""

PEOPLE = {
    "task": "classification",
    "input": "face",
    "data.source": "people",
    "data.people.people": 3,
    "data.people.clips": 36,
    "faces.enabled": True,
    "faces.size": 32,
    "split.val": 0.2,
    "split.test": 0.34,
}
