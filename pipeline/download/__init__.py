"""Download segments of online videos in parallel; a killed run loses only the downloads in progress.

`queue`: `collect`, `load_outcome`, `delete_stored`, `check_missing`, `open_log`. `ytdlp`: one segment, and
the status that an error message stands for. `step`: `DownloadStep`, which calls the source's `fetch`;
`LAYOUT`, the columns of the media shards that it writes; `in_place_outcome`, `single_file_outcome`.
"""
