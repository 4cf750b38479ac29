"""Handling of signals during training."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[None]:
    """Within a `with` block, raise KeyboardInterrupt at the first SIGINT or SIGTERM, and ignore later ones.

    So the block has time to save its work after the first signal. This replaces Lightning's own handlers,
    which would wait for the end of the batch, and kill the process at the second signal.
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

    previous_handlers = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if handler is not signal.SIG_IGN:  # a signal that is ignored, as `nohup` sets it, stays ignored
            previous_handlers[number] = handler
    for number in previous_handlers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
