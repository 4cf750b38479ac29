"""What tests and benchmarks share: small projects, recordings, servers, kills, broken media.

`project.Project` is a copy of this project in a temporary folder; `projects` has pytest fixtures of some
that have run.
"""
