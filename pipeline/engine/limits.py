"""What a process that decodes may ask of the machine: files of anybody's are opened in there."""

import resource

import psutil


def hold(memory: int, file: int) -> None:
    """Limit this process, and what it starts, for good. It leaves no core dump either.

    memory: bytes beyond what it has now; more is a MemoryError. Data alone count, and not files that are
    mapped to be read: shards may be larger. file: bytes of one that it writes; more is an OSError (EFBIG).
    """
    _most(resource.RLIMIT_DATA, getattr(psutil.Process().memory_info(), "data", 0) + memory)
    _most(resource.RLIMIT_FSIZE, file)
    _most(resource.RLIMIT_CORE, 0)


def _most(what: int, wanted: int) -> None:
    hard = resource.getrlimit(what)[1]
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(what, (most, most))
