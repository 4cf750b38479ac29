"""Evaluate a trained model on a test split."""
