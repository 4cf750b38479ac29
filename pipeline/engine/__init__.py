"""Run the step of a data stage over all shards, on this machine or on a Ray cluster.

Every clip gets exactly one outcome: a value, or the reason why it has none.

- `runner`: `run` computes what a `Job` describes and writes its shards
- `clip_keys`: which clips must be computed again: `compute_fingerprint`, `find_clips_to_compute`
- `job`: `Job`, what a data stage computes; `Task`, one shard of it
- `local`: the engine `local`, worker processes of this machine
- `cluster`: the engine `ray`; models use its `connect` and `map_unordered` too
- `workers`: a pool of processes that may crash or hang; `limits`: their memory and file size
- `progress`: the progress bar of a stage
"""
