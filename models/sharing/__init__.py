"""Publish and load trained models."""
