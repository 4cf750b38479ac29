"""Run one step over all shards, in worker processes or on a Ray cluster: every clip gets exactly one result.

`runner`: `Job`, `run`, `clips_to_compute`, `fingerprint`. `job`: what a shard needs. `local`: workers of this
machine. `cluster`: Ray; models use its `connect` and `map_unordered` too. `workers`: processes that may
crash. `limits`, `progress`.
"""
