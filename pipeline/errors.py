"""The one kind of error that is not a defect of ours."""


class UserError(Exception):
    """What a user did or brought is wrong.

    The message is one line: what is wrong, where (file, clip or key), and what to do. Stages print it
    without a traceback and exit with status 1.
    """
