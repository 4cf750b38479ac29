"""A page to ask a trained model: `python -m app`, after `dvc repro`."""

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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=7860, help="(7860; 0: any that is free)")
    parser.add_argument("--project", default=".", help="the folder of the project (.)")
    return parser.parse_args()


def app() -> None:
    began = time.monotonic()
    given = arguments()
    uploads = _folder()
    # Before Gradio is imported: it reads them then.
    os.environ |= {
        "GRADIO_TEMP_DIR": str(uploads),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DVC_NO_ANALYTICS": "1",
    }
    from app.model import ModelProcess
    from app.runs import HERE, Runs
    from app.storage import StorageProcess

    shards = StorageProcess()
    runs = Runs(Path(given.project), shards.local)
    runs[HERE].config  # noqa: B018 - where there is no model, that is told now and not on the page
    listening = _listen(given.host, given.port)
    ask = ModelProcess()
    ask.warm(Path(given.project))  # beside this process, which goes on with the page
    import uvicorn

    from app import server
    from app.answers import Answers
    from app.decoder import Decoder
    from app.offline import stay_home

    decoder = Decoder(uploads)
    try:
        made = server.make(Answers(runs, decoder, ask), uploads, _hosts(given.host))
        stay_home()
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"app: http://{shown}:{port} ({time.monotonic() - began:.1f} s); Ctrl-C ends it", flush=True)
        config = uvicorn.Config(made, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        decoder.close()
        ask.close()
        shards.close()
        runs.close()
        shutil.rmtree(uploads, ignore_errors=True)


def _folder() -> Path:
    """A folder for uploads, which ends with this process; what a killed one left is cleared."""
    for old in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = old.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdigit() and not _lives(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _listen(host: str, port: int):
    """A socket that listens there. UserError where that is taken or not this machine's."""
    import socket

    from pipeline.errors import UserError

    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)  # who comes before the page is up waits; a second app finds the port taken
    except (OSError, OverflowError) as e:
        why = getattr(e, "strerror", None) or e
        raise UserError(f"--host {host} --port {port}: {why}: choose another, as --port 7861") from None
    return listening


def _hosts(host: str) -> list[str]:
    """By which names a browser may ask: a page elsewhere must not reach it under a name of its own."""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    # "[": what Starlette takes for the name in [::1]:7860
    return ["127.0.0.1", "localhost", "[", host] if here else ["*"]


if __name__ == "__main__":
    sys.exit(run(app))
