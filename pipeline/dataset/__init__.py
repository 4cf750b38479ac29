"""Windows, pairs, augmentation, splits and statistics."""
