"""Serve a page to try a trained model: `python -m app`, after `dvc repro`."""

import argparse
import ipaddress
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from pipeline.cli import run

PREFIX = "earsight-app-"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (127.0.0.1: only this machine)"
    )
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (7860; 0: any free port)")
    parser.add_argument("--project", default=".", help="the folder of the project (.)")
    return parser.parse_args()


def app() -> None:
    """Run the command."""
    start = time.monotonic()
    arguments = parse_arguments()
    uploads = _create_uploads_folder()
    # Gradio and others read these when they are imported.
    os.environ |= {
        "GRADIO_TEMP_DIR": str(uploads),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DVC_NO_ANALYTICS": "1",
    }
    from app.model import ModelProcess
    from app.runs import THIS_PROJECT, Runs
    from app.storage import StorageProcess

    shards = StorageProcess()
    runs = Runs(Path(arguments.project), shards.local)
    runs[THIS_PROJECT].config  # noqa: B018 - fail now and not on the page if there is no model
    listener = _listen(arguments.host, arguments.port)
    model_process = ModelProcess()
    model_process.warm_up(Path(arguments.project))  # in parallel with the imports below
    import uvicorn

    from app import server
    from app.answers import Answers
    from app.decoder import Decoder
    from app.offline import forbid_connections

    decoder = Decoder(uploads)
    try:
        application = server.create_app(
            Answers(runs, decoder, model_process), uploads, _allowed_hosts(arguments.host)
        )
        forbid_connections()
        host, port = listener.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        print(f"app: {url} ({time.monotonic() - start:.1f} s); press Ctrl-C to stop", flush=True)
        config = uvicorn.Config(
            application, log_level="warning", access_log=False, timeout_graceful_shutdown=2
        )
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        decoder.close()
        model_process.close()
        shards.close()
        runs.close()
        shutil.rmtree(uploads, ignore_errors=True)


def _create_uploads_folder() -> Path:
    """Create a folder for the uploads of this process, and delete those of processes that were killed."""
    for old in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = old.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _listen(host: str, port: int):
    """Open a socket. Raises UserError if the port is in use or the address is not of this machine."""
    import socket

    from pipeline.errors import UserError

    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)  # from now on browsers wait for the page, and the port is in use
    except (OSError, OverflowError) as e:
        why = getattr(e, "strerror", None) or e
        raise UserError(f"--host {host} --port {port}: {why}: use another one, as --port 7861") from None
    return listener


def _allowed_hosts(host: str) -> list[str]:
    """Return the host names that a request may use. This prevents DNS rebinding by another page."""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    # "[": Starlette parses [::1]:7860 as this host name.
    return ["127.0.0.1", "localhost", "[", host] if is_local else ["*"]


if __name__ == "__main__":
    sys.exit(run(app))
