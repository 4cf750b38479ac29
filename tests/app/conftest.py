import multiprocessing.forkserver

from testing import preloaded_process  # noqa: F401  # sets the modules that the server imports

# A process has one fork server. Start it here: a test that starts it first would do so without these modules.
multiprocessing.forkserver.ensure_running()
