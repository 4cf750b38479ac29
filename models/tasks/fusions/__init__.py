"""Fusions, a module each: they combine sound and picture into the input of a classifier's head."""
