"""The HTTP application: the page, pictures and sounds of clips by number, and limits on requests."""

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
import numpy as np
from fastapi import FastAPI, Request, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app import layout
from app.answers import Answers
from app.decoder import MAX_FILE_BYTES
from app.runs import Runs
from pipeline.errors import UserError
from pipeline.report import data_uri

UPLOADS = 2 << 30  # bytes: maximum size of all uploads of all users
# The browser loads nothing from other hosts, and no other page can embed this one in a frame.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:;"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:;"
    " font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:;"
    " frame-ancestors 'self'; base-uri 'self'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# Routes of Gradio that the page does not need. Some of them fetch a URL that a browser sends.
REFUSED = (
    "proxy=",
    "file=http",
    "stream",
    "deep_link",
    "vibe",
    "component_server",
    "custom_component",
    "runs",
)


def create_app(answers: Answers, uploads: Path, hosts: list[str]) -> FastAPI:
    """Create the application. uploads: the folder of Gradio's uploads; hosts: allowed host names."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/clips/{name}/{row}.jpg")
    def picture(name: str, row: int) -> Response:
        return _serve_clip(answers.runs, name, row, "image/jpeg", lambda run: _encode_jpeg(run.image(row)))

    @app.get("/clips/{name}/{row}.wav")
    def sound(name: str, row: int) -> Response:
        return _serve_clip(answers.runs, name, row, "audio/wav", lambda run: run.wav(row))

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        route = unquote(request.url.path).partition("/gradio_api/")[2].lower()
        if route.startswith(REFUSED):
            return Response("forbidden", 403)
        if (
            route.startswith("upload")
            and request.method == "POST"
            and (reason := _refuse_upload(request, uploads))
        ):
            return Response(reason, 413)
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    page = layout.build(answers)
    page.has_launched = True  # else Gradio accepts any path of this machine as an upload
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        max_file_size=MAX_FILE_BYTES,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        mcp_server=False,
        **layout.style(),
    )


def _serve_clip(runs: Runs, name: str, row: int, kind: str, read: Any) -> Response:
    try:
        run = runs[name]
        run.clip(row)
        content = read(run)
    except UserError as e:
        return Response(str(e), 404)
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=600"})


def _encode_jpeg(image: np.ndarray) -> bytes:
    return data_uri.jpeg_bytes(image, 240, 80)


def _refuse_upload(request: Request, uploads: Path) -> str:
    """Return why an upload is refused; empty if it is accepted."""
    length = request.headers.get("content-length", "")
    size = int(length) if length.isdigit() else MAX_FILE_BYTES
    if size > MAX_FILE_BYTES + (1 << 20):
        return f"too large: at most {MAX_FILE_BYTES >> 20} MB"
    used = sum(path.stat().st_size for path in uploads.rglob("*") if path.is_file())
    if used + size > UPLOADS or shutil.disk_usage(uploads).free < 2 * MAX_FILE_BYTES:
        return "no space for more uploads: try again in some minutes"
    return ""
