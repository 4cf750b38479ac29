"""The exception for mistakes of the user. Any other exception means a defect of this project."""

import errno
import os
import re

DISK_FULL_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_PERMISSION_CODES = (errno.EACCES, errno.EPERM, errno.EROFS)


class UserError(Exception):
    """Input, parameters or an action of the user are wrong.

    The message is one line, or one for each error in a file of parameters: what is wrong, where (file, clip
    or key), and what to do. Stages print it without a traceback and exit with status 1.
    """


def explain_disk_error(error: OSError, where: str) -> UserError | None:
    """Return a UserError if a disk is full or a permission is missing; None for any other OSError.

    where: what the message names if the error itself names no file: a folder or a stage.
    """
    if error.errno in DISK_FULL_CODES:
        advice = "make room"
    elif error.errno in NO_PERMISSION_CODES:
        advice = "allow reading and writing there"
    else:
        return None
    match = re.search(r"file '(.+?)'", str(error))  # errors of pyarrow have no `filename`
    path = str(error.filename or (match[1] if match else where))
    if path.endswith(".tmp"):  # the user does not know temporary files: name their folder
        path = os.path.dirname(path) or "."
    return UserError(f"{path}: {os.strerror(error.errno)}: {advice} and run again: what is done is kept")
