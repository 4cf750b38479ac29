import os
import signal

from tests.pipeline.clusters import ray_cluster, s3  # noqa: F401

# A shell that starts the tests in the background has Ctrl-C ignored, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: one more than there are cores: tests often wait for servers, clocks and kills."""
    return (os.cpu_count() or 1) + 1
