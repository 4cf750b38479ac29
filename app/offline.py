"""No way out: for processes that handle what strangers brought."""

import sys


def stay_home() -> None:
    """From here on this process opens no connection and looks up no name.

    PermissionError where something tries. Sockets in the file system, between processes, still work.
    """

    def hook(event: str, given: tuple) -> None:
        if event == "socket.connect" and isinstance(given[1], tuple):
            raise PermissionError(f"this process opens no connections ({given[1][0]})")
        if event in ("socket.getaddrinfo", "socket.gethostbyname"):
            raise PermissionError(f"this process looks up no names ({given[0]})")

    sys.addaudithook(hook)
