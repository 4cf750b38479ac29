"""What models are trained on: windows of usable clips, in splits that share no video or person.

`dataset`: `load`, `Dataset`. `pairing`: samplers of batches and pairs. `augment`: what training changes.
`split`: `assign`. `statistics`: mean and deviation of the training split.
"""
