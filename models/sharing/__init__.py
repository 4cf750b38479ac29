"""Publish trained models, and load those of others. Nothing that comes from elsewhere is unpickled.

`load`: a model from a folder, a URL, a hub or Git. `export`: a folder with weights, ONNX and a `card`.
`hub`: Hugging Face. `git_source`: the run that made a model. `cav_mae_checkpoint`: published CAV-MAE
checkpoints.
"""
