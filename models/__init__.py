"""Models: components, tasks, training, evaluation, inference and sharing.

Imports go down this list, never up (`tool.importlinter` in pyproject.toml):

- `sharing`: export, model card; `evaluation`: metrics of a trained model on the test split
- `inference`: a trained model on shards, on files, on a cluster; `training`
- `places`: find a model in a folder, in Git or on Hugging Face
- `checkpoint`: a trained model on disk; `components`: the modules that a configuration uses
- `tasks`: what a model learns, a file for each task
- `audio`, `video`, `joint`: encoders; `losses`, `matchers`: a file for each; `parts`: what encoders share
- `hub`: Hugging Face; `registry`: components by name; `weights`: the file of a model's weights
"""
