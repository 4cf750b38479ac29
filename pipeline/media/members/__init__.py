"""Members of archives, read where they lie: a tar by offset, a Parquet file by row.

`is_member`, `check_member` and `open_member` take a location, which stands in the clip table where the path
of a file does; `TarMember` and `ParquetMember` make one. Archives are local files or URLs that fsspec opens.
No handle is shared: each open member of a local tar has its own, each process its own of anything else.
"""

from pipeline.media.members.media_error import MediaError
from pipeline.media.members.open_member import check_member, local_file, open_member
from pipeline.media.members.raw_archive import ArchiveStat, RawArchive, open_archive, stat_archive
from pipeline.store.locations import ParquetMember, TarMember, is_member

__all__ = [
    "ArchiveStat",
    "MediaError",
    "ParquetMember",
    "RawArchive",
    "TarMember",
    "check_member",
    "is_member",
    "local_file",
    "open_archive",
    "open_member",
    "stat_archive",
]
