"""Train a model. After a kill, training continues to the same weights, bit for bit.

`cached`: `train_cached` and `pretrain_cached` train a model unless it is up to date, `adopt_pretrained`
copies the model of the stage pretrain. `experiment`: `configure_experiment` reads an experiment from the
parameters. `loop`: `train` trains a model. `recorder` records each epoch, `best_epoch` chooses the
best one, and `checkpoint_file` is what a killed training resumes from.
"""
