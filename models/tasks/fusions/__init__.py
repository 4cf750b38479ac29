"""Fusions: how a classifier makes one vector of sound and picture, a module each."""
