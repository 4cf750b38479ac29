"""Have root obey the permissions of files, as other users do."""

import ctypes
import os

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # capabilities of Linux: write any file, read any file
DROP_FROM_BOUNDING_SET = 24  # of prctl
VERSION_3 = 0x20080522  # of the structures of capset


def obey_permissions() -> None:
    """Drop root's capabilities to read and write any file, also for the processes that this one starts.

    Call it while there is one thread. Raises OSError where it is not allowed.
    """
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)  # of this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their upper halves
    for capability in (DAC_OVERRIDE, DAC_READ_SEARCH):
        _check(libc.prctl(DROP_FROM_BOUNDING_SET, capability, 0, 0, 0))
    _check(libc.capget(header, sets))
    for i in range(3):
        sets[i] &= ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    _check(libc.capset(header, sets))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), "the capabilities of a process")
