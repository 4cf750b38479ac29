"""Resource limits of a process that decodes files from untrusted sources."""

import resource

import psutil


def limit_process(memory: int, file_size: int) -> None:
    """Limit this process and its children, irrevocably, and disable core dumps.

    memory: bytes beyond what the process has now; a larger request is a MemoryError. It counts data and not
    files that are mapped for reading, since shards may be larger. file_size: bytes of one file that it
    writes; more is an OSError (EFBIG).
    """
    used = getattr(psutil.Process().memory_info(), "data", 0)
    _set_limit(resource.RLIMIT_DATA, used + memory)
    _set_limit(resource.RLIMIT_FSIZE, file_size)
    _set_limit(resource.RLIMIT_CORE, 0)


def _set_limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (limit, limit))
