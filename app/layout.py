"""The page: four tabs, and the events of their components. app.answers makes the HTML of the answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from app.answers import Answers, render_error
from app.runs import THIS_PROJECT
from pipeline.errors import UserError

FIND = [("Both", "both"), ("Sounds", "audio"), ("Pictures", "video")]
UPLOAD_SECONDS = 600  # after which an upload is deleted
CONCURRENT_REQUESTS = 8  # others wait in a queue
# A click on a card's button triggers a search with the clip of its row.
SEARCH_BY_CARD = """element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-ask]");
  if (button) trigger("click", {row: Number(button.dataset.ask)});
});"""
TITLE = """<div class="es-title"><h1>Earsight</h1>
<p>What do things that make a sound look like, and what do they sound like?</p></div>"""


def show_errors(function: Callable[..., str]) -> Callable[..., str]:
    """Wrap a function so that it returns the message of a UserError as HTML."""

    def call(*arguments: Any) -> str:
        try:
            return function(*arguments)
        except UserError as e:
            return render_error(e)

    return call


def build(answers: Answers) -> gr.Blocks:
    """Build the page. answers: computes what it shows."""

    @show_errors
    def search(name: str, source: str | int | None, modality: str, k: int) -> str:
        if isinstance(source, int):
            return answers.search_by_clip(name, source, modality, int(k))
        return answers.search(name, source, modality, int(k)) if source else ""

    def search_file(name: str, path: str | None, modality: str, k: int) -> tuple[str, str | None]:
        return search(name, path, modality, k), path

    # Gradio passes the event because of its type annotation.
    def search_clip(name: str, modality: str, k: int, event: gr.EventData) -> tuple[str, int]:
        row = int(getattr(event, "row", -1))
        return search(name, row, modality, k), row

    def compare(name: str, sound: str | None, picture: str | None) -> str:
        if not sound or not picture:
            raise UserError("give a sound and a picture")
        return answers.compare(name, sound, picture)

    def along(name: str, video: str | None) -> str:
        return answers.along(name, video) if video else ""

    def classify(name: str, path: str | None) -> str:
        message = answers.no_classifier(name)
        return message or (answers.classify(name, path) if path else "")

    with gr.Blocks(
        title="Earsight", analytics_enabled=False, delete_cache=(60, UPLOAD_SECONDS), fill_width=False
    ) as page:
        with gr.Row(equal_height=True, elem_id="head"):
            gr.HTML(TITLE)
            run = gr.Dropdown(
                [THIS_PROJECT],
                value=THIS_PROJECT,
                label="Model",
                filterable=False,
                elem_id="run",
                min_width=180,
            )
        query = gr.State()  # a file's path or a clip's row: searched again when a setting changes
        with gr.Tabs():
            with gr.Tab("Search", id="search"), gr.Row():
                with gr.Column(scale=2, min_width=300):
                    inputs = _inputs("search")
                    modality = gr.Radio(FIND, value="both", label="Find clips by their", elem_id="find")
                    count = gr.Slider(1, 50, value=10, step=1, label="How many")
                    examples = gr.HTML(elem_id="examples", js_on_load=SEARCH_BY_CARD)
                with gr.Column(scale=3, min_width=320):
                    results = gr.HTML(elem_id="found", js_on_load=SEARCH_BY_CARD)
            for component in inputs:
                _on_change(component, search_file, [run, component, modality, count], [results, query])
            for cards in (examples, results):
                cards.click(search_clip, [run, modality, count], [results, query], api_visibility="private")
            for setting in (modality, count):
                setting.change(
                    search,
                    [run, query, modality, count],
                    results,
                    api_visibility="private",
                    trigger_mode="always_last",
                )

            with gr.Tab("Belong together?", id="belong"), gr.Row():
                with gr.Column(scale=2, min_width=300):
                    with gr.Tab("Sound and picture"):
                        sound = _sound("belong-sound")
                        picture = _picture("belong-picture")
                        compare_button = gr.Button("Compare", variant="primary", elem_id="compare")
                    with gr.Tab("Video along time"):
                        video = _video("belong-video")
                with gr.Column(scale=3, min_width=320):
                    verdict = gr.HTML(elem_id="verdict")
            compare_button.click(
                show_errors(compare), [run, sound, picture], verdict, api_visibility="private"
            )
            _on_change(video, show_errors(along), [run, video], verdict)

            with gr.Tab("What is it?", id="classify") as classify_tab, gr.Row():
                with gr.Column(scale=2, min_width=300):
                    classify_inputs = _inputs("classify")
                with gr.Column(scale=3, min_width=320):
                    classes = gr.HTML(elem_id="classes")
            for component in classify_inputs:
                _on_change(component, show_errors(classify), [run, component], classes)
            classify_tab.select(show_errors(answers.no_classifier), run, classes, api_visibility="private")

            with gr.Tab("Look around", id="look") as explore_tab, gr.Tabs():
                with gr.Tab("Test clips"):
                    embedding_map = gr.HTML(elem_id="map")
                with gr.Tab("Experiments"):
                    leaderboard = gr.HTML(elem_id="leaderboard")
            explore_tab.select(
                show_errors(answers.embedding_map), run, embedding_map, api_visibility="private"
            )
            explore_tab.select(show_errors(answers.leaderboard), None, leaderboard, api_visibility="private")

        show_examples = show_errors(answers.examples)
        page.load(show_examples, run, examples, api_visibility="private")
        page.load(lambda: gr.Dropdown(answers.runs.names()), None, run, api_visibility="private")
        outputs = [results, verdict, classes, embedding_map]
        run.change(show_examples, run, examples, api_visibility="private")
        run.change(lambda: [""] * len(outputs) + [None], None, [*outputs, query], api_visibility="private")
    page.queue(default_concurrency_limit=CONCURRENT_REQUESTS, max_size=8 * CONCURRENT_REQUESTS)
    return page


def _inputs(name: str) -> list[gr.components.Component]:
    """Create the inputs for a sound, a picture or a video."""
    with gr.Tabs():
        with gr.Tab("Sound"):
            sound = _sound(f"{name}-sound")
        with gr.Tab("Picture"):
            picture = _picture(f"{name}-picture")
        with gr.Tab("Video"):
            video = _video(f"{name}-video")
    return [sound, picture, video]


def _sound(name: str) -> gr.Audio:
    component = gr.Audio(sources=["upload", "microphone"], type="filepath", label="Sound", elem_id=name)
    return _keep_path(component)


def _picture(name: str) -> gr.Image:
    component = gr.Image(
        sources=["upload", "webcam"],
        type="filepath",
        image_mode=None,
        label="Picture",
        elem_id=name,
        height=280,
    )
    return _keep_path(component)


def _video(name: str) -> gr.Video:
    component = gr.Video(sources=["upload", "webcam"], label="Video", elem_id=name)
    return _keep_path(component)


def _keep_path(component: Any) -> Any:
    """Make a component return its file's path: Gradio would decode it in this process, without limits."""
    component.preprocess = lambda payload: payload and payload.path
    return component


def _on_change(component: Any, function: Callable[..., Any], inputs: list, outputs: Any) -> None:
    """Call a function when a file is uploaded."""
    component.change(function, inputs, outputs, api_visibility="private")


def style() -> dict[str, Any]:
    """Return the theme, CSS and scripts for gr.mount_gradio_app. Nothing is loaded from other hosts."""
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
