"""Clip tables, shards and indexes on disk."""
