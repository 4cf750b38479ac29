"""Apply a trained model."""
