import multiprocessing.forkserver

from testing import warm  # noqa: F401  # says what the server imports

# There is one such server in a process: what a test runs in its own would start it without what is slow.
multiprocessing.forkserver.ensure_running()
