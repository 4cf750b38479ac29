"""The exception for mistakes of the user. Every other exception is a defect of this project."""

import errno
import os
import re

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)


class UserError(Exception):
    """Input, parameters or an action of the user are wrong.

    The message is one line: what is wrong, where (file, clip or key), and what to do. Stages print it
    without a traceback and exit with status 1.
    """


def disk_error(error: OSError, where: str) -> UserError | None:
    """Return a UserError for a full disk or a missing permission; None for any other OSError.

    where: named in the message unless the error names a file.
    """
    if error.errno in DISK_FULL:
        advice = "make room"
    elif error.errno in NO_PERMISSION:
        advice = "allow reading and writing there"
    else:
        return None
    match = re.search(r"file '(.+?)'", str(error))  # errors of pyarrow have no `filename`
    path = str(error.filename or (match[1] if match else where))
    if path.endswith(".tmp"):
        path = os.path.dirname(path) or "."
    return UserError(f"{path}: {os.strerror(error.errno)}: {advice} and run again: what is done is kept")
