"""Serve a page to try a trained model: `python -m app`, after `dvc repro`."""

import argparse
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

from pipeline.cli import run

UPLOADS_PREFIX = "earsight-app-"  # of the names of folders for uploads; a process id follows
LISTEN_BACKLOG = 128  # connections that wait to be accepted
SHUTDOWN_SECONDS = 2  # for which open requests may go on after Ctrl-C


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (127.0.0.1: only this machine)"
    )
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (7860; 0: any free port)")
    parser.add_argument("--project", default=".", help="the folder of the project (.)")
    return parser.parse_args()


def app() -> None:
    """Serve the page until Ctrl-C, as the command line says.

    Raises UserError if the project has no model, or if the address or the port cannot be used.
    """
    start_time = time.monotonic()
    arguments = parse_arguments()
    uploads = _create_uploads_folder()
    # Gradio, Hugging Face and DVC read these when they are imported, so the imports come after this.
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

    storage_process = StorageProcess()
    runs = Runs(Path(arguments.project), storage_process.copy_shard)
    runs[THIS_PROJECT].config  # noqa: B018 - raises UserError now, and not on the page, if there is no model
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
        print(f"app: {url} ({time.monotonic() - start_time:.1f} s); press Ctrl-C to stop", flush=True)
        config = uvicorn.Config(
            application, log_level="warning", access_log=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS
        )
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        decoder.close()
        model_process.close()
        storage_process.close()
        runs.close()
        shutil.rmtree(uploads, ignore_errors=True)


def _create_uploads_folder() -> Path:
    """Create a folder for the uploads of this process, and delete those of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{UPLOADS_PREFIX}*"):
        pid = folder.name.removeprefix(UPLOADS_PREFIX).split("-")[0]
        if pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{UPLOADS_PREFIX}{os.getpid()}-"))


def _is_running(pid: int) -> bool:
    """Return whether there is a process with this id, of any user."""
    try:
        os.kill(pid, 0)  # signal 0 is not sent: this only checks whether it could be
    except ProcessLookupError:
        return False
    except PermissionError:  # the process of another user
        return True
    return True


def _listen(host: str, port: int) -> socket.socket:
    """Open a socket at which browsers can connect. port: 0 for any free one.

    Raises UserError if the port is in use or the address does not belong to this machine.
    """
    from pipeline.errors import UserError

    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(LISTEN_BACKLOG)  # from now on browsers wait for the page, and the port is in use
    except (OSError, OverflowError) as e:
        reason = getattr(e, "strerror", None) or e
        raise UserError(f"--host {host} --port {port}: {reason}: use another one, as --port 7861") from None
    return listener


def _allowed_hosts(host: str) -> list[str]:
    """Return the host names that a request may use, for a server at the address `host`.

    At an address of this machine only its own names are allowed. Otherwise another web page could let its own
    host name point to this machine, and read the answers (DNS rebinding).
    """
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    # "[": Starlette parses [::1]:7860 as this host name.
    return ["127.0.0.1", "localhost", "[", host] if is_local else ["*"]


if __name__ == "__main__":
    sys.exit(run(app))
