"""What happens to data, from videos to a report.

Imports run down, never up (`tool.importlinter` in pyproject.toml):

- `report`: pages, charts, galleries, tables; `dataset`: what models are trained on; `metrics`; `sources`
- `download`: segments of online videos
- `media`: files to wav, spectrograms, frames, faces; `engine`: one step over all shards
- `store`: clip tables, shards and their indexes on disk
- `config`: the types and the one reader of params.yaml
- `errors`: what a user is told in one line
"""

# What stands before `pipeline` and `models` in the names of modules: nothing in a clone, `earsight.` where
# Earsight is installed (setup.py). Names of modules that are put together at run time begin with it.
PREFIX = __name__.removesuffix("pipeline")
