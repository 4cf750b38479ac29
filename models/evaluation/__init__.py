"""Evaluate a trained model on a test split.

`evaluation`: `evaluate` of any task, `Evaluation`. `classifier`: of a classifier; `inpainting`: of a masked
autoencoder. `trial`: train and evaluate one experiment of a table.
"""
