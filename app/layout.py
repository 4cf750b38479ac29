"""The page itself: four tabs, and what each of their parts asks. The answers are HTML (app.answers)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from app.answers import Answers, failed
from app.runs import HERE
from pipeline.errors import UserError

FIND = [("Both", "both"), ("Sounds", "audio"), ("Pictures", "video")]
SECONDS_KEPT = 600  # of an upload, after which it is deleted
PEOPLE = 8  # at once; more wait
# What a click on a card's button tells the page: the row of the clip to ask with.
ASK = """element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-ask]");
  if (button) trigger("click", {row: Number(button.dataset.ask)});
});"""
TITLE = """<div class="es-title"><h1>Earsight</h1>
<p>What do things that make a sound look like, and what do they sound like?</p></div>"""


def told(function: Callable[..., str]) -> Callable[..., str]:
    """What a user brought is answered with a line in place of the answer."""

    def ask(*given: Any) -> str:
        try:
            return function(*given)
        except UserError as e:
            return failed(e)

    return ask


def build(answers: Answers) -> gr.Blocks:
    """The page, and `answers` behind it."""

    @told
    def search(name: str, asked: str | int | None, find: str, k: int) -> str:
        if isinstance(asked, int):
            return answers.search_by_clip(name, asked, find, int(k))
        return answers.search(name, asked, find, int(k)) if asked else ""

    def ask_file(name: str, path: str | None, find: str, k: int) -> tuple[str, str | None]:
        return search(name, path, find, k), path

    # Gradio finds the event by its type.
    def ask_clip(name: str, find: str, k: int, event: gr.EventData) -> tuple[str, int]:
        row = int(getattr(event, "row", -1))
        return search(name, row, find, k), row

    def belong(name: str, sound: str | None, picture: str | None) -> str:
        if not sound or not picture:
            raise UserError("give a sound and a picture")
        return answers.belong(name, sound, picture)

    def along(name: str, video: str | None) -> str:
        return answers.along(name, video) if video else ""

    def classify(name: str, path: str | None) -> str:
        none = answers.no_classifier(name)
        return none or (answers.classify(name, path) if path else "")

    with gr.Blocks(
        title="Earsight", analytics_enabled=False, delete_cache=(60, SECONDS_KEPT), fill_width=False
    ) as page:
        with gr.Row(equal_height=True, elem_id="head"):
            gr.HTML(TITLE)
            run = gr.Dropdown(
                [HERE], value=HERE, label="Model", filterable=False, elem_id="run", min_width=180
            )
        asked = gr.State()  # the path of a file, or the row of a clip: asked again where a knob is turned
        with gr.Tabs():
            with gr.Tab("Search", id="search"), gr.Row():
                with gr.Column(scale=2, min_width=300):
                    inputs = _inputs("search")
                    find = gr.Radio(FIND, value="both", label="Find clips by their", elem_id="find")
                    count = gr.Slider(1, 50, value=10, step=1, label="How many")
                    examples = gr.HTML(elem_id="examples", js_on_load=ASK)
                with gr.Column(scale=3, min_width=320):
                    found = gr.HTML(elem_id="found", js_on_load=ASK)
            for given in inputs:
                _on(given, ask_file, [run, given, find, count], [found, asked])
            for part in (examples, found):
                part.click(ask_clip, [run, find, count], [found, asked], api_visibility="private")
            for knob in (find, count):
                knob.change(
                    search,
                    [run, asked, find, count],
                    found,
                    api_visibility="private",
                    trigger_mode="always_last",
                )

            with gr.Tab("Belong together?", id="belong"), gr.Row():
                with gr.Column(scale=2, min_width=300):
                    with gr.Tab("Sound and picture"):
                        sound = _sound("belong-sound")
                        picture = _picture("belong-picture")
                        compare = gr.Button("Compare", variant="primary", elem_id="compare")
                    with gr.Tab("Video along time"):
                        video = _video("belong-video")
                with gr.Column(scale=3, min_width=320):
                    verdict = gr.HTML(elem_id="verdict")
            compare.click(told(belong), [run, sound, picture], verdict, api_visibility="private")
            _on(video, told(along), [run, video], verdict)

            with gr.Tab("What is it?", id="classify") as what, gr.Row():
                with gr.Column(scale=2, min_width=300):
                    things = _inputs("classify")
                with gr.Column(scale=3, min_width=320):
                    classes = gr.HTML(elem_id="classes")
            for given in things:
                _on(given, told(classify), [run, given], classes)
            what.select(told(answers.no_classifier), run, classes, api_visibility="private")

            with gr.Tab("Look around", id="look") as look, gr.Tabs():
                with gr.Tab("Test clips"):
                    around = gr.HTML(elem_id="map")
                with gr.Tab("Experiments"):
                    board = gr.HTML(elem_id="leaderboard")
            look.select(told(answers.embedding_map), run, around, api_visibility="private")
            look.select(told(answers.leaderboard), None, board, api_visibility="private")

        show = told(answers.examples)
        page.load(show, run, examples, api_visibility="private")
        page.load(lambda: gr.Dropdown(answers.runs.names()), None, run, api_visibility="private")
        cleared = [found, verdict, classes, around]
        run.change(show, run, examples, api_visibility="private")
        run.change(lambda: [""] * len(cleared) + [None], None, [*cleared, asked], api_visibility="private")
    page.queue(default_concurrency_limit=PEOPLE, max_size=8 * PEOPLE)
    return page


def _inputs(name: str) -> list[gr.components.Component]:
    """A sound, a picture or a video."""
    with gr.Tabs():
        with gr.Tab("Sound"):
            sound = _sound(f"{name}-sound")
        with gr.Tab("Picture"):
            picture = _picture(f"{name}-picture")
        with gr.Tab("Video"):
            video = _video(f"{name}-video")
    return [sound, picture, video]


def _sound(name: str) -> gr.Audio:
    given = gr.Audio(sources=["upload", "microphone"], type="filepath", label="Sound", elem_id=name)
    return _as_brought(given)


def _picture(name: str) -> gr.Image:
    given = gr.Image(
        sources=["upload", "webcam"],
        type="filepath",
        image_mode=None,
        label="Picture",
        elem_id=name,
        height=280,
    )
    return _as_brought(given)


def _video(name: str) -> gr.Video:
    given = gr.Video(sources=["upload", "webcam"], label="Video", elem_id=name)
    return _as_brought(given)


def _as_brought(given: Any) -> Any:
    """Its path and nothing else: Gradio would open the file in this process, where no limits hold."""
    given.preprocess = lambda payload: payload and payload.path
    return given


def _on(given: Any, function: Callable[..., Any], inputs: list, outputs: Any) -> None:
    """Answer at once when a file is there."""
    given.change(function, inputs, outputs, api_visibility="private")


def style() -> dict[str, Any]:
    """Of gr.mount_gradio_app: nothing that is fetched from elsewhere."""
    pages = Path(__file__).parent / "pages"
    script = (pages / "page.js").read_text(encoding="utf-8")
    return {
        "theme": gr.themes.Base(
            primary_hue="blue",
            neutral_hue="stone",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        "css": (pages / "page.css").read_text(encoding="utf-8"),
        "head": f"<script>{{{script}}}</script>",
    }
