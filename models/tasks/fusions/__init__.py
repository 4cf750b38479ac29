"""Fusions, a module each: they combine sound and picture into the input of a classifier's head.

The head is the last layers of the classifier, which map that input to logits.
"""
