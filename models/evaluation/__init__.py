"""Evaluate a trained model on the test split.

`evaluation`: `evaluate`, for a model of any task. `pairs`, `classifier`, `inpainting`: the evaluations that
it consists of; `localization` is a part of `pairs`. `result`: `Settings`, `Evaluation`. `trial`: train and
evaluate one experiment of a table.
"""
