"""Training data: windows of usable clips, in splits that share no video and no person.

`dataset`: `load`, `Dataset`. `windows`: `WindowRule`, the one rule for cutting a window, in training,
evaluation and serving. `pairing`: samplers of batches and pairs. `augment`: `Augment`, the augmentation of
training batches. `split`: `assign_splits`. `statistics`: mean and standard deviation of the training split.
"""
