"""Clip tables, shards and indexes on disk. Writes are atomic, and every value has a key.

- `clip_table`: `read`, `validate` and `from_rows` of data/clips.parquet, one schema for all sources
- `formats`: the files that hold values: `Arrays`, `Files`, `Layout`; `digest`, `read_table`
- `shards`: `Shards`, the output folder of a data stage, and the reuse of an earlier run's rows; `read_index`,
  `shard_locations`
- `values`: the one reader of clips' values, in any storage: `read_arrays`, `read_files`, `ClipArrays`
- `status`: `Outcome` of one clip, and the closed list of reasons, `STATUSES`
- `code_identity`: `code_digest`, a hash of code that ignores comments, docstrings and formatting
- `storage`: local and remote files of shards; `atomic`: writes of which no half is ever seen
- `resume`: where the unfinished work of interrupted stages is kept
- `metric_files`, `epochs`: the files of metrics/, JSON and CSV; `summary`: counts of a clip table
- `arrow`: pyarrow without the slow import of pandas
"""
