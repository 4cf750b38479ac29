"""The page: four tabs, and the events of their components. app.answers makes the HTML of the answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app.answers import Answers, render_error
from app.runs import THIS_PROJECT
from pipeline.errors import UserError

TARGET_CHOICES = [("Both", "both"), ("Sounds", "audio"), ("Pictures", "video")]  # (text, modality) to find
UPLOAD_SECONDS = 600  # after which an upload is deleted
CLEANUP_SECONDS = 60  # from one search for old uploads to the next
CONCURRENT_REQUESTS = 8  # others wait in a queue
MAX_QUERY_LENGTH = 500  # characters of words to search with
MAX_WAITING_REQUESTS = 64  # in the queue; further ones are refused
# JavaScript of a Gradio component with cards: a click on a card's button triggers the event `click` of the
# component, with the row of the card's clip in the index.
SEARCH_BY_CARD = """element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-ask]");
  if (button) trigger("click", {row: Number(button.dataset.ask)});
});"""
TITLE = """<div class="es-title"><h1>Earsight</h1>
<p>What do things that make a sound look like, and what do they sound like?</p></div>"""


def show_errors(function: Callable[..., str]) -> Callable[..., str]:
    """Return a function that returns the HTML of `function`, or the message of its UserError as HTML."""

    def call(*arguments: Any) -> str:
        try:
            return function(*arguments)
        except UserError as e:
            return render_error(e)

    return call


@dataclass(frozen=True)
class Words:
    """Words to search with."""

    text: str


def build_page(answers: Answers) -> gr.Blocks:
    """Build the page: its components, and the functions that run when a user changes them.

    answers: computes the HTML that the page shows.
    """

    @show_errors
    def search(run_name: str, source: str | int | Words | None, target_modality: str, k: int) -> str:
        """Search with a file's path, a clip's row or words; without any of them the answer is empty."""
        if source is None or source == "":
            return ""
        if isinstance(source, Words):
            return answers.search_by_text(run_name, source.text, target_modality, int(k))
        if isinstance(source, int):
            return answers.search_by_clip(run_name, source, target_modality, int(k))
        return answers.search_by_file(run_name, source, target_modality, int(k))

    # These two also return what was searched with, for the component `query`.
    def search_by_file(
        run_name: str, path: str | None, target_modality: str, k: int
    ) -> tuple[str, str | None]:
        return search(run_name, path, target_modality, k), path

    def search_by_text(run_name: str, text: str, target_modality: str, k: int) -> tuple[str, Words | None]:
        words = Words(text.strip()[:MAX_QUERY_LENGTH]) if text.strip() else None
        return search(run_name, words, target_modality, k), words

    # Gradio passes the event because of its type annotation.
    def search_by_card(run_name: str, target_modality: str, k: int, event: gr.EventData) -> tuple[str, int]:
        row = int(getattr(event, "row", -1))  # a browser can send an event without a row; -1 is no clip
        return search(run_name, row, target_modality, k), row

    def score_pair(run_name: str, audio_path: str | None, video_path: str | None) -> str:
        if not audio_path or not video_path:
            raise UserError("give a sound and a picture")
        return answers.score_pair(run_name, audio_path, video_path)

    def score_along(run_name: str, path: str | None) -> str:
        return answers.score_along(run_name, path) if path else ""

    def classify(run_name: str, path: str | None) -> str:
        message = answers.no_classifier(run_name)
        if message or not path:
            return message
        return answers.classify(run_name, path)

    with gr.Blocks(
        title="Earsight",
        analytics_enabled=False,
        delete_cache=(CLEANUP_SECONDS, UPLOAD_SECONDS),
        fill_width=False,
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
        query = gr.State()  # a file's path, a clip's row or Words: searched again when a setting changes
        with gr.Tabs():
            with gr.Tab("Search", id="search"), gr.Row():
                with gr.Column(scale=2, min_width=300):
                    inputs = _create_file_inputs("search")
                    words = gr.Textbox(
                        label="Or words", placeholder="a church bell", max_lines=1, elem_id="words"
                    )
                    target_modality = gr.Radio(
                        TARGET_CHOICES, value="both", label="Find clips by their", elem_id="find"
                    )
                    count = gr.Slider(1, 50, value=10, step=1, label="How many")
                    examples = gr.HTML(elem_id="examples", js_on_load=SEARCH_BY_CARD)
                with gr.Column(scale=3, min_width=320):
                    results = gr.HTML(elem_id="found", js_on_load=SEARCH_BY_CARD)
            for component in inputs:
                _on_change(
                    component, search_by_file, [run, component, target_modality, count], [results, query]
                )
            words.submit(
                search_by_text,
                [run, words, target_modality, count],
                [results, query],
                api_visibility="private",
            )
            for cards in (examples, results):
                cards.click(
                    search_by_card,
                    [run, target_modality, count],
                    [results, query],
                    api_visibility="private",
                )
            for setting in (target_modality, count):
                setting.change(
                    search,
                    [run, query, target_modality, count],
                    results,
                    api_visibility="private",
                    trigger_mode="always_last",
                )

            with gr.Tab("Belong together?", id="belong"), gr.Row():
                with gr.Column(scale=2, min_width=300):
                    with gr.Tab("Sound and picture"):
                        audio = _create_audio_input("belong-sound")
                        image = _create_image_input("belong-picture")
                        compare_button = gr.Button("Compare", variant="primary", elem_id="compare")
                    with gr.Tab("Video along time"):
                        video = _create_video_input("belong-video")
                with gr.Column(scale=3, min_width=320):
                    verdict = gr.HTML(elem_id="verdict")
            compare_button.click(
                show_errors(score_pair), [run, audio, image], verdict, api_visibility="private"
            )
            _on_change(video, show_errors(score_along), [run, video], verdict)

            with gr.Tab("What is it?", id="classify") as classify_tab, gr.Row():
                with gr.Column(scale=2, min_width=300):
                    classify_inputs = _create_file_inputs("classify")
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
        run.change(show_examples, run, examples, api_visibility="private")
        # The answers on the page are those of the run chosen before.
        outputs = [results, verdict, classes, embedding_map]
        run.change(lambda: [""] * len(outputs) + [None], None, [*outputs, query], api_visibility="private")
    page.queue(default_concurrency_limit=CONCURRENT_REQUESTS, max_size=MAX_WAITING_REQUESTS)
    return page


def _create_file_inputs(id_prefix: str) -> list[gr.components.Component]:
    """Create three tabs, each with an input: for a sound, a picture and a video. Returns the inputs.

    id_prefix: of the ids of the inputs in HTML: <id_prefix>-sound, and so on.
    """
    with gr.Tabs():
        with gr.Tab("Sound"):
            audio = _create_audio_input(f"{id_prefix}-sound")
        with gr.Tab("Picture"):
            image = _create_image_input(f"{id_prefix}-picture")
        with gr.Tab("Video"):
            video = _create_video_input(f"{id_prefix}-video")
    return [audio, image, video]


def _create_audio_input(element_id: str) -> gr.Audio:
    component = gr.Audio(sources=["upload", "microphone"], type="filepath", label="Sound", elem_id=element_id)
    return _keep_path(component)


def _create_image_input(element_id: str) -> gr.Image:
    component = gr.Image(
        sources=["upload", "webcam"],
        type="filepath",
        image_mode=None,
        label="Picture",
        elem_id=element_id,
        height=280,
    )
    return _keep_path(component)


def _create_video_input(element_id: str) -> gr.Video:
    component = gr.Video(sources=["upload", "webcam"], label="Video", elem_id=element_id)
    return _keep_path(component)


def _keep_path(component: Any) -> Any:
    """Make a Gradio component pass the path of an uploaded file to functions. Returns the component.

    By default Gradio would decode the file in this process, without limits on memory and time.
    """
    component.preprocess = lambda payload: payload and payload.path
    return component


def _on_change(component: Any, function: Callable[..., Any], inputs: list, outputs: Any) -> None:
    """Let Gradio call a function when a file is uploaded to `component` or removed from it.

    inputs: the components whose values are the function's arguments. outputs: those that show its result.
    """
    component.change(function, inputs, outputs, api_visibility="private")


def page_style() -> dict[str, Any]:
    """Return {"theme", "css", "head": a script} for gr.mount_gradio_app; nothing comes from other hosts."""
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
