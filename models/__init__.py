"""What learns. Imports run down, never up (`tool.importlinter` in pyproject.toml):

- `sharing`: export, model card, hub; `evaluation`: a model on a test split
- `inference`: a model on shards, on files, on a cluster; `training`
- `checkpoint`: a model on disk; `components`: the modules that a configuration names
- `tasks`: what is learnt, and how
- `audio`, `video`, `joint`, `losses`, `matchers`: components, known by name, a file each; `parts` of them
- `registry`
"""
