"""Clip tables, shards and indexes on disk. Writes are atomic, and every value has a key.

- `clip_table`: `read`, `check` and `from_rows` of data/clips.parquet, one schema for all sources
- `formats`: what values look like in files: `Arrays`, `Files`, `Layout`; `digest`, `read_table`
- `shards`: `Shards`, the output folder of a data stage, and the reuse of an earlier run's rows; `read_index`,
  `shard_locations`
- `values`: the one reader of clips' values, in any storage: `read_arrays`, `read_files`, `ClipArrays`
- `status`: `Outcome` of one clip, and the closed list of reasons, `STATUSES`
- `code_identity`: `code_digest`, a hash of code that ignores comments, docstrings and formatting
- `storage`: where values are stored, local or behind fsspec; `atomic`: atomic writes
- `resume`: unfinished work of interrupted stages
- `metric_files`, `epochs`: the files of metrics/, JSON and CSV; `summary`: counts of a clip table
- `arrow`: pyarrow without pandas
"""
