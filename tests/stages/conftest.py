import multiprocessing.forkserver

from testing import preloaded_process  # noqa: F401  # sets the modules that the server imports

# There is one such server in a process: what a test runs in its own would start it without what is slow.
multiprocessing.forkserver.ensure_running()
