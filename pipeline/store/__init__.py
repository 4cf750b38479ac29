"""Clip tables, shards and indexes on disk: whole or not there, each value under a key of what made it.

- `clip_table`: `read`, `check` and `from_rows` of data/clips.parquet, one schema for all sources
- `formats`: what values look like in files: `Arrays`, `Files`, `Layout`; `digest`, `read_table`
- `shards`: `Shards`, the output folder of a data stage, and what may be kept of an earlier run;
  `read_index`, `places`
- `values`: the one reader of clips' values, wherever their shards lie: `read_arrays`, `read_files`,
  `ClipArrays`
- `status`: `Outcome` of one clip, and the closed list of reasons, `STATUSES`
- `code_identity`: `code_digest`, a hash of what code does
- `storage`: where values lie, here or where fsspec reaches; `atomic`: files that are written whole
- `resume`: unfinished work of interrupted stages
- `metric_files`, `epochs`: what metrics/ holds, as JSON and CSV; `summary`: counts of a clip table
- `arrow`: pyarrow without pandas
"""
