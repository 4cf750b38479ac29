"""What happens to data, from videos to a report.

Imports run down, never up (`tool.importlinter` in pyproject.toml):

- `report`: pages, charts, galleries, tables; `dataset`: what models are trained on; `metrics`; `sources`
- `download`: segments of online videos
- `media`: files to wav, spectrograms, frames, faces; `engine`: one step over all shards
- `store`: clip tables, shards and their indexes on disk
- `params`, `schema`: the one reader of params.yaml
- `errors`: what a user is told in one line
"""
