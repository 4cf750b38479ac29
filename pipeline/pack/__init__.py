"""Pack the clips of a project as a data set for other programs: `python -m app.pack`.

- `selection`: which clips go in, with labels, split and quality, and why each other clip does not
- `values`: reads the sound, the frames and the media of clips
- `shard_files`: one file of the data set, Parquet or a tar of WebDataset
- `features`: the types of the columns, as Hugging Face `datasets` names them
- `writer`: writes the shards in one pass; a run that was killed continues
- `card`, `croissant`: README.md and croissant.json of the data set
"""
