"""Handling of signals during training."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first SIGINT or SIGTERM, and ignore later ones while work is saved.

    Lightning would wait for the end of the batch, and kill the process at the second signal.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield
        return
    is_interrupted = False

    def interrupt(*_: Any) -> None:
        nonlocal is_interrupted
        if not is_interrupted:
            is_interrupted = True
            raise KeyboardInterrupt

    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    handlers = {s: handler for s, handler in handlers.items() if handler is not signal.SIG_IGN}  # nohup
    for s in handlers:
        signal.signal(s, interrupt)
    try:
        yield
    finally:
        for s, handler in handlers.items():
            signal.signal(s, handler)
