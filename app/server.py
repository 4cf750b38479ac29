"""The page behind HTTP: the clips' pictures and sounds by number, limits, and no way out."""

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
from app.decoder import LARGEST
from app.runs import Runs
from pipeline.errors import UserError
from pipeline.report import data_uri

KEPT = 2 << 30  # bytes of uploads held at a time, of all people together
# The browser loads nothing from elsewhere, and no other page frames this one.
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
# Of Gradio's own, what the page needs. Its ways to fetch an address for the browser are not among them.
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


def make(answers: Answers, uploads: Path, hosts: list[str]) -> FastAPI:
    """The whole application. uploads: where Gradio puts files; hosts: by which names it is asked for."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/clips/{name}/{row}.jpg")
    def picture(name: str, row: int) -> Response:
        return _clip(answers.runs, name, row, "image/jpeg", lambda run: _jpeg(run.image(row)))

    @app.get("/clips/{name}/{row}.wav")
    def sound(name: str, row: int) -> Response:
        return _clip(answers.runs, name, row, "audio/wav", lambda run: run.wav(row))

    @app.middleware("http")
    async def guard(request: Request, go_on: Any) -> Response:
        rest = unquote(request.url.path).partition("/gradio_api/")[2].lower()
        if rest.startswith(REFUSED):
            return Response("not here", 403)
        if rest.startswith("upload") and request.method == "POST" and (full := _full(request, uploads)):
            return Response(full, 413)
        response = await go_on(request)
        response.headers.update(HEADERS)
        return response

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    page = layout.build(answers)
    page.has_launched = True  # or Gradio takes any path of this machine that a browser tells for an upload
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        max_file_size=LARGEST,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        mcp_server=False,
        **layout.style(),
    )


def _clip(runs: Runs, name: str, row: int, kind: str, read: Any) -> Response:
    try:
        run = runs[name]
        run.clip(row)
        content = read(run)
    except UserError as e:
        return Response(str(e), 404)
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=600"})


def _jpeg(image: np.ndarray) -> bytes:
    return data_uri.jpeg_bytes(image, 240, 80)


def _full(request: Request, uploads: Path) -> str:
    """Why there is no room for another upload; empty where there is."""
    said = request.headers.get("content-length", "")
    coming = int(said) if said.isdigit() else LARGEST
    if coming > LARGEST + (1 << 20):
        return f"too large: at most {LARGEST >> 20} MB"
    held = sum(path.stat().st_size for path in uploads.rglob("*") if path.is_file())
    if held + coming > KEPT or shutil.disk_usage(uploads).free < 2 * LARGEST:
        return "no room for more uploads: try again in some minutes"
    return ""
