"""Fetch segments of online videos: several at a time, and a killed run loses only those on their way.

`queue`: `collect`, `taken`, `settle`, `Log`. `ytdlp`: one segment, and what its errors mean. `step`:
`DownloadStep`, which asks a clip's source, and `LAYOUT` of the media shards that it writes; `in_place`,
`fetched`.
"""
