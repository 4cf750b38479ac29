"""Resource limits of a process that decodes files from untrusted sources."""

import resource

import psutil


def limit_process(memory: int, file_size: int) -> None:
    """Limit the resources of this process and its children until they end, and disable core dumps.

    memory: bytes that it may allocate from now on; more raises MemoryError. Files that are mapped for reading
    do not count: shards may be larger. file_size: bytes of a file that it writes; more raises OSError
    (EFBIG).
    """
    # psutil does not report `data` on macOS.
    used = getattr(psutil.Process().memory_info(), "data", 0)
    _set_limit(resource.RLIMIT_DATA, used + memory)
    _set_limit(resource.RLIMIT_FSIZE, file_size)
    _set_limit(resource.RLIMIT_CORE, 0)


def _set_limit(resource_type: int, value: int) -> None:
    """Set the limit of a resource, such as resource.RLIMIT_DATA, to `value` bytes or a lower hard limit."""
    _soft_limit, hard_limit = resource.getrlimit(resource_type)
    limit = value if hard_limit == resource.RLIM_INFINITY else min(value, hard_limit)
    resource.setrlimit(resource_type, (limit, limit))
