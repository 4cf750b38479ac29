"""The HTTP application: the page, pictures and sounds of clips by number, and limits on requests."""

import shutil
from collections.abc import Callable
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
from app.runs import Run, Runs
from pipeline.errors import UserError
from pipeline.report import data_uri

MAX_UPLOADS_BYTES = 2 << 30  # maximum size of the uploads of all users together
MAX_FORM_BYTES = 1 << 20  # what a request may have in addition to the file
JPEG_PIXELS, JPEG_QUALITY = 240, 80  # longer side and quality of the picture of a clip
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
REFUSED_ROUTES = (
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
    """Create the application that serves the page and the clips.

    answers: computes what the page shows. uploads: the folder of Gradio's uploads. hosts: the host names that
    a request may use, or "*".
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/clips/{run_name}/{row}.jpg")
    def serve_picture(run_name: str, row: int) -> Response:
        return _serve_clip(
            answers.runs, run_name, row, "image/jpeg", lambda run: _encode_jpeg(run.read_image(row))
        )

    @app.get("/clips/{run_name}/{row}.wav")
    def serve_sound(run_name: str, row: int) -> Response:
        return _serve_clip(answers.runs, run_name, row, "audio/wav", lambda run: run.read_wav(row))

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        """Refuse routes that the page does not need and uploads that are too large; add HEADERS."""
        _, _, route = unquote(request.url.path).partition("/gradio_api/")
        route = route.lower()
        if route.startswith(REFUSED_ROUTES):
            return Response("forbidden", 403)
        if route.startswith("upload") and request.method == "POST":
            reason = _upload_refusal(request, uploads)
            if reason:
                return Response(reason, 413)
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    page = layout.build_page(answers)
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
        **layout.page_style(),
    )


def _serve_clip(
    runs: Runs, run_name: str, row: int, media_type: str, encode: Callable[[Run], bytes]
) -> Response:
    """Return the response with the picture or the sound of a clip; 404 if there is no such run, clip or side.

    row: the clip's row in the index of the run. encode: returns the bytes to send.
    """
    try:
        content = encode(runs[run_name])
    except UserError as e:
        return Response(str(e), 404)
    return Response(content, media_type=media_type, headers={"Cache-Control": "private, max-age=600"})


def _encode_jpeg(image: np.ndarray) -> bytes:
    return data_uri.encode_jpeg(image, JPEG_PIXELS, JPEG_QUALITY)


def _upload_refusal(request: Request, uploads: Path) -> str:
    """Return why an upload is refused; an empty string if it is accepted.

    uploads: the folder of all uploads.
    """
    length = request.headers.get("content-length", "")
    size = int(length) if length.isdigit() else MAX_FILE_BYTES  # unknown: assume the worst
    if size > MAX_FILE_BYTES + MAX_FORM_BYTES:
        return f"too large: at most {MAX_FILE_BYTES >> 20} MB"
    used = sum(path.stat().st_size for path in uploads.rglob("*") if path.is_file())
    if used + size > MAX_UPLOADS_BYTES or shutil.disk_usage(uploads).free < 2 * MAX_FILE_BYTES:
        return "no space for more uploads: try again in some minutes"
    return ""
