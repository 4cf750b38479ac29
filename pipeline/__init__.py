"""What happens to data, from videos to a report.

Imports run down, never up (`tool.importlinter` in pyproject.toml):

- `report`: pages, charts, galleries, tables; `dataset`: what models are trained on; `metrics`; `sources`
- `download`: segments of online videos
- `media`: files to wav, spectrograms, frames, faces; `engine`: one step over all shards
- `store`: clip tables, shards and their indexes on disk
- `config`: the types and the one reader of params.yaml
- `errors`: what a user is told in one line
"""

# The start of the full name of each module of this project: empty in a clone (`pipeline.config`), `earsight.`
# if Earsight is installed as a package (`earsight.pipeline.config`, setup.py). Code that builds the name of a
# module at run time begins it with PREFIX.
PREFIX = __name__.removesuffix("pipeline")
