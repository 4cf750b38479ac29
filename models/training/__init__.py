"""Train a model; a training that was killed ends in the weights of one that was not.

`cached`: `trained` and `pretrained` train only what is not there yet. `loop`: `Experiment`, `train`,
`hand_on`. `recorder`: curves, the best epoch, the checkpoint to resume from.
"""
