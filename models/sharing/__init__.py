"""Publish trained models, and load published ones. No downloaded file is unpickled.

`load`: load a model from a folder, a project, a Git repository or Hugging Face. `export`: write a folder
with weights, ONNX files and a model card (`card`). `git_source`: the run that trained a model.
`cav_mae_checkpoint`: convert published CAV-MAE checkpoints.
"""
