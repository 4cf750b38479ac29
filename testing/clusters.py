"""Fixtures: a Ray cluster and an S3 server on this machine, one for each test file."""

import os
from http.client import HTTPConnection
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def ray_cluster():
    """Start a Ray node with two CPUs and connect this process to it."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    python_path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(
        ROOT
    )  # for steps defined in tests; Ray sends the project's own code to workers
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    os.environ.pop("PYTHONPATH") if python_path is None else os.environ.update(PYTHONPATH=python_path)


@pytest.fixture(scope="module")
def s3():
    """Make an empty bucket and set the environment variables with which `s3://` reaches it; yield its URL."""
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
    # moto's buckets belong to the process, not to the server: delete them for the next test file.
    connection = HTTPConnection(host, port, timeout=30)
    connection.request("POST", "/moto-api/reset")
    connection.getresponse().read()
    connection.close()
    server.stop()
