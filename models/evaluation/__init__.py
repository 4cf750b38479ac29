"""Evaluate a trained model on the test split.

`evaluation`: `evaluate`, for a model of any task. `pairs`, `classifier`, `inpainting`: the evaluations that
it consists of; `localization` is a part of `pairs`. `protocols`: published protocols; `protocol_outputs`:
what a model computes for them; `protocol_checks`: before a training. `result`: `Settings`,
`ProtocolSettings`, `Evaluation`. `trial`: train and evaluate one experiment of a table.
"""
