"""Run one step over all shards."""
