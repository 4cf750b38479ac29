"""A Ray cluster and an S3 server of this machine, for the tests of a file."""

import os
from http.client import HTTPConnection
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def ray_cluster():
    """One node with two processors, and this process connected to it."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # for the steps of tests: of the project, what workers need is sent
    there = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    ray.init(address=there.address, log_to_driver=False, logging_level="ERROR")
    yield there
    ray.shutdown()
    there.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture(scope="module")
def s3():
    """An empty bucket, and the environment in which `s3://` reaches it."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("earsight")
        yield "s3://earsight/toys"
        s3fs.S3FileSystem.clear_instance_cache()
    # moto's buckets are the process's, not the server's: the next file's would be there already.
    asked = HTTPConnection(host, port, timeout=30)
    asked.request("POST", "/moto-api/reset")
    asked.getresponse().read()
    asked.close()
    server.stop()
