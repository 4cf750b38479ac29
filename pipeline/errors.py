"""The one kind of error that is not a defect of ours."""

import errno
import os
import re

ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)


class UserError(Exception):
    """What a user did or brought is wrong.

    The message is one line: what is wrong, where (file, clip or key), and what to do. Stages print it
    without a traceback and exit with status 1.
    """


def of_disk(error: OSError, where: str) -> UserError | None:
    """What a disk's refusal means to a user; None where it is something else.

    where: what is named unless the error says it.
    """
    if error.errno in ROOM:
        todo = "make room"
    elif error.errno in RIGHT:
        todo = "allow reading and writing there"
    else:
        return None
    said = re.search(r"file '(.+?)'", str(error))  # pyarrow's errors have no file name of their own
    place = str(error.filename or (said[1] if said else where))
    if place.endswith(".tmp"):
        place = os.path.dirname(place) or "."
    return UserError(f"{place}: {os.strerror(error.errno)}: {todo} and run again: what is done is kept")
