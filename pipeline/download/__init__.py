"""Download segments of online videos in parallel; a killed run loses only the downloads in progress.

`step`: `DownloadStep`, which gets the media of clips from a source of any kind; `LAYOUT`, the columns of the
media shards that it writes; `FileCheck`, `in_place_outcome` and `single_file_outcome`, for sources.

`queue`, for sources on the network: `download_clips`, `load_outcome`, `delete_stored_files`, `check_missing`,
`open_log`. `ytdlp`: the download of one segment, and the status that an error message most probably means.
"""
