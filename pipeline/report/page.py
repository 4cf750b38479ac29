"""Self-contained pages: a rendered template with inline style and script that loads no other file."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent / "templates"
STYLE, SCRIPT = "page.css", "page.js"


def write(
    path: str | Path, template: str | Path, clips: dict[str, dict] | None = None, **values: object
) -> Path:
    """Render `template` with `values`, write it to `path`, and return `path`.

    template: the name of a template in this package, or the path of another one.
    clips: the playable clips, as of `galleries.encode_clips`; None: the page has no script.
    """
    folders = [FOLDER]
    if isinstance(template, Path):
        folders, template = [FOLDER, template.parent], template.name
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in (STYLE, SCRIPT))
    media = list((clips or {}).values())
    page = environment.get_template(template).render(
        style=style,
        script=script if clips is not None else "",
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        clips=clips,
        sounds={c["key"]: c["sound"] for c in media if c["sound"]},
        aspect=next((c["aspect"] for c in media if c["aspect"]), 1.0),
        **values,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link into DVC's cache
    path.write_text(page, encoding="utf-8")
    return path
