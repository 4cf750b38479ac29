"""Forbid network connections in processes that handle uploaded files."""

import sys


def forbid_connections() -> None:
    """Forbid this process, from now on, to open connections and to look up host names.

    An attempt raises PermissionError. Unix sockets between processes still work.
    """

    def hook(event: str, arguments: tuple) -> None:
        """Check an audit event of Python, which comes before the action itself (PEP 578)."""
        # The arguments are the socket and its address; a tuple (host, port) is not the path of a Unix socket.
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            raise PermissionError(f"this process must not open connections ({arguments[1][0]})")
        if event in ("socket.getaddrinfo", "socket.gethostbyname"):
            raise PermissionError(f"this process must not look up host names ({arguments[0]})")

    sys.addaudithook(hook)
