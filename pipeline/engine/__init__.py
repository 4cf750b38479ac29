"""Run one step over all shards, in worker processes or on a Ray cluster: no clip is lost or made twice.

`runner`: `Job`, `run`, `missing`, `made_from`. Beside it `job` (what a shard needs), `local` (workers of
this machine), `cluster` (Ray; `connected` and `each` serve models too), `workers` (processes that may
crash), `limits`, `progress`.
"""
