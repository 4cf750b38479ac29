"""Train a model. A training that was killed continues to the same weights, bit for bit.

`cached`: `train_cached` and `pretrain_cached` train a model unless it is there, `adopt_pretrained` takes that
of the stage pretrain. `experiment`: `Experiment`, what is trained. `loop`: `train`.
"""
