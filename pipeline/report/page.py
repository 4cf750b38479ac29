"""Self-contained pages: a rendered template with inline style and script that loads no other file."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent / "templates"
STYLE, SCRIPT = "page.css", "page.js"


def write_page(
    path: str | Path, template: str | Path, clips: dict[str, dict] | None = None, **values: object
) -> Path:
    """Render a template with `values`, write it to `path`, and return `path`.

    template: the name (str) of a template in this package, or the path (Path) of another one.
    clips: the clips that the page can show and play, clip_id -> {"key", "image", "sound", ...}, as
    `encode_clips` returns them; None: the page has no script.
    """
    folders = [FOLDER]
    if isinstance(template, Path):
        # FOLDER comes first: a template elsewhere can extend those of this package.
        folders, template = [FOLDER, template.parent], template.name
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in (STYLE, SCRIPT))
    playable_clips = list((clips or {}).values())
    html = environment.get_template(template).render(
        style=style,
        script=script if clips is not None else "",
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        clips=clips,
        sounds={clip["key"]: clip["sound"] for clip in playable_clips if clip["sound"]},
        aspect=next((clip["aspect"] for clip in playable_clips if clip["aspect"]), 1.0),
        **values,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link into DVC's cache, whose files must not change
    path.write_text(html, encoding="utf-8")
    return path
