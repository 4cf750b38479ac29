"""The answers of the page as HTML. Text from clips, files and labels is escaped."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import model
from app.charts import curve, histogram
from app.decoder import Decoder
from app.model import ModelProcess
from app.runs import HEADLINES, Run, Runs
from models.inference.decode import DecodedFile, decode_parts
from pipeline.errors import UserError
from pipeline.report import data_uri
from pipeline.report.tsne import map_test_clips

HOP_SECONDS = 0.25  # between the windows along a video that are scored
MAX_VIDEO_SECONDS = 60.0  # of a video; the rest of it is not scored
MAX_EXAMPLES = 8  # test clips to search with
EXAMPLE_CANDIDATES = 1000  # random test clips from which the examples are selected
MAX_CLASSES = 5  # in an answer
IMAGE_PIXELS, PREVIEW_PIXELS = 480, 240  # longer side of the picture of an answer, and of a query's preview
NAMES = {
    "audio": "sound",
    "video": "picture",
    "both": "clip",
    "text": "text",
}  # modality -> word for the user
MAP_SIDE = 560  # width and height of the map, in pixels
MAP_MARGIN = 12  # in pixels
HUES = 12  # labels with a colour in the map; others are grey

_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, /, **values: Any) -> str:
    """Return the HTML of the template app/pages/<template>.html with these values."""
    return _pages.get_template(f"{template}.html").render(**values)


def render_error(error: UserError) -> str:
    """Return the HTML that shows the message of an error."""
    return render("failed", text=str(error))


class Answers:
    """Decode uploads, call the model, and return the answers as HTML.

    runs: the trained models that a user can choose, by name. decoder: decodes uploaded files in other
    processes. call_model: calls a function of app.model in the process that holds the models.

    In every method `run_name` is the name of the run that the user has chosen. Every method raises UserError
    for a mistake of the user or an unusable file.
    """

    def __init__(self, runs: Runs, decoder: Decoder, model_process: ModelProcess) -> None:
        self.runs = runs
        self.decoder = decoder
        self.call_model = model_process

    def decode(self, run: Run, path: str) -> DecodedFile:
        """Decode an uploaded file for the model of a run."""
        return self.decoder.read(run.config, path)

    def search_by_file(self, run_name: str, path: str, target_modality: str, k: int) -> str:
        """Show the k clips nearest to an uploaded file.

        target_modality: what to find: "audio" (sounds), "video" (pictures) or "both".
        """
        run = self.runs[run_name]
        query = self.decode(run, path)
        run_folder = run.fetch_model(with_index=True)
        results = self.call_model(model.search_by_file, run_folder, query, target_modality, k)
        return self._render_results(run, _preview(query), results)

    def search_by_text(self, run_name: str, text: str, target_modality: str, k: int) -> str:
        """Show the k clips nearest to words, if the model of the run understands words.

        target_modality: what to find: "audio" (sounds), "video" (pictures) or "both".
        """
        run = self.runs[run_name]
        run_folder = run.fetch_model(with_index=True)
        results = self.call_model(model.search_by_text, run_folder, text, target_modality, k)
        return self._render_results(run, {"name": text, "image": None, "sound": None}, results)

    def search_by_clip(self, run_name: str, row: int, target_modality: str, k: int) -> str:
        """Show the k clips nearest to the clip in row `row` of the index.

        target_modality: what to find: "audio" (sounds), "video" (pictures) or "both".
        """
        run = self.runs[run_name]
        clip = run.read_clip(row)
        url = _clip_url(run, row)
        preview = {"name": clip["clip_id"], "image": f"{url}.jpg", "sound": f"{url}.wav"}
        run_folder = run.fetch_model(with_index=True)
        results = self.call_model(model.search_by_clip, run_folder, row, target_modality, k)
        return self._render_results(run, preview, results)

    def _render_results(self, run: Run, preview: dict, results: model.Results) -> str:
        """Return the HTML of the results of a search.

        preview: {"name", "image", "sound"} of the query; the last two are URLs or None. results: a list of
        (direction, [(row of a clip, similarity), ...]).
        """
        galleries = []
        for direction, hits in results:
            source, target = direction.split("_to_")
            cards = [_card(run, row) | {"score": f"{score:.2f}"} for row, score in hits]
            title = f"{NAMES[target].capitalize()}s nearest to this {NAMES[source]}"
            galleries.append({"title": title, "role": target, "cards": cards})
        return render("search", query=preview, galleries=galleries, total=len(run.clips))

    def examples(self, run_name: str) -> str:
        """Show test clips to search with, with as many different labels as possible."""
        run = self.runs[run_name]
        labels = run.clips["labels"]
        test_rows = np.flatnonzero(run.clips["split"].to_numpy() == "test")
        first_rows: dict[tuple, int] = {}  # set of labels -> its first clip
        other_rows: list[int] = []
        for row in np.random.default_rng(0).permutation(test_rows)[:EXAMPLE_CANDIDATES].tolist():
            clip_labels = tuple(labels[row].as_py() or [])
            if clip_labels in first_rows:
                other_rows.append(row)
            else:
                first_rows[clip_labels] = row
        rows = [*first_rows.values(), *other_rows][:MAX_EXAMPLES]
        return render("examples", cards=[_card(run, row) for row in rows])

    def score_pair(self, run_name: str, audio_path: str, video_path: str) -> str:
        """Show the score of a sound and a picture, its rank among test pairs, and where the sound is.

        audio_path, video_path: uploaded files.
        """
        run = self.runs[run_name]
        audio_file, video_file = self.decode(run, audio_path), self.decode(run, video_path)
        run_folder = run.fetch_model(with_index=True)
        answer = self.call_model(model.score_pair, run_folder, audio_file, video_file)
        score, sound_map = answer["score"], answer["map"]
        positives, negatives = answer["positives"], answer["negatives"]
        if sound_map is None:
            image = data_uri.jpeg_uri(video_file.image, IMAGE_PIXELS)
        else:
            image = data_uri.heatmap_uri(video_file.image, sound_map, IMAGE_PIXELS)
        has_test_pairs = bool(len(positives) and len(negatives))
        return render(
            "compare",
            score=f"{score:+.2f}",
            match=score > 0,
            image=image,
            map=sound_map is not None,
            sound=data_uri.encode_data_uri("audio/wav", audio_file.wav),
            above=f"{np.mean(negatives < score):.0%}" if has_test_pairs else "",
            below=f"{np.mean(positives <= score):.0%}" if has_test_pairs else "",
            positives=len(positives),
            negatives=len(negatives),
            chart=histogram(positives, negatives, score) if has_test_pairs else None,
        )

    def score_along(self, run_name: str, path: str) -> str:
        """Show how well sound and picture of an uploaded video match, in each window along it."""
        run = self.runs[run_name]
        run_folder = run.fetch_model()
        if not self.call_model(model.compares_modalities, run_folder):
            raise UserError(
                "this model does not compare sounds with pictures: choose one with task: matching"
            )
        decode_from = partial(self.decoder.read, run.config, path)
        # (start (s), part) of consecutive parts of the video
        parts = list(decode_parts(decode_from, run.config, HOP_SECONDS, MAX_VIDEO_SECONDS))
        points = self.call_model(model.score_along, run_folder, parts, HOP_SECONDS)
        scores = np.array([score for _, score in points])
        last_start, last_part = parts[-1]
        return render(
            "along",
            name=Path(path).name,
            chart=curve(points),
            mean=f"{scores.mean():+.2f}",
            share=f"{np.mean(scores > 0):.0%}",
            count=len(points),
            complete=last_start + last_part.seconds < MAX_VIDEO_SECONDS,
            max_seconds=f"{MAX_VIDEO_SECONDS:g}",
        )

    def classify(self, run_name: str, path: str) -> str:
        """Show the most probable classes of an uploaded file: by both sides, by sound, and by picture."""
        run = self.runs[run_name]
        query = self.decode(run, path)
        predictions = []
        for modality, classes in self.call_model(model.classify, run.fetch_model(), query, MAX_CLASSES):
            title = "By both" if modality == "both" else f"By its {NAMES[modality]}"
            bars = [
                {"name": name, "probability": f"{probability:.1%}", "width": f"{100 * probability:.1f}"}
                for name, probability in classes
            ]
            predictions.append({"title": title, "bars": bars})
        missing = [f"No {NAMES[side]}: {reason}." for side, reason in query.missing.items()]
        return render("classify", query=_preview(query), predictions=predictions, missing=missing)

    def no_classifier(self, run_name: str) -> str:
        """Return the message for a model without classes; an empty string if the model has classes."""
        config = self.runs[run_name].config
        return "" if config.get("classes") else render("no_classifier", task=config["task"], run=run_name)

    def embedding_map(self, run_name: str) -> str:
        """Show a t-SNE map of the embeddings of the test split."""
        run = self.runs[run_name]
        folder = run.fetch_model(with_index=True) / "data/embeddings"
        points = map_test_clips(folder, run.clips)
        row_of_clip = {clip_id: row for row, clip_id in enumerate(run.clips["clip_id"].to_pylist())}
        label_counts = Counter(point["label"] for point in points if point["label"])
        legend = [label for label, _ in label_counts.most_common(HUES)]
        xs = _to_pixels([point["x"] for point in points])
        ys = _to_pixels([-point["y"] for point in points])  # in SVG, y increases downwards
        marks = [
            {
                "x": f"{x:.1f}",
                "y": f"{y:.1f}",
                "hue": legend.index(point["label"]) if point["label"] in legend else "rest",
                "kind": point["kind"],
                "name": point["label"] or point["clip_id"],
                "url": _clip_url(run, row_of_clip[point["clip_id"]]),
            }
            for point, x, y in zip(points, xs, ys, strict=True)
        ]
        return render("map", marks=marks, legend=legend, count=len(marks), side=MAP_SIDE)

    def leaderboard(self) -> str:
        """Show the metrics of this project and every experiment, and the parameters that differ."""
        runs = self.runs.leaderboard()
        metric_names = [name for name in HEADLINES if any(name in run["metrics"] for run in runs)]
        param_names = list(runs[0]["params"]) if runs else []
        table_rows = [
            {
                "name": run["name"],
                "metrics": [_format_metric(run["metrics"], name) for name in metric_names],
                "params": [str(run["params"][name]) for name in param_names],
            }
            for run in runs
        ]
        return render("leaderboard", metrics=metric_names, params=param_names, rows=table_rows)


def _preview(query: DecodedFile) -> dict[str, Any]:
    """Return {"name", "image", "sound"} of the query for the page; the last two are data URIs or None."""
    return {
        "name": query.name,
        "image": None if query.image is None else data_uri.jpeg_uri(query.image, PREVIEW_PIXELS),
        "sound": data_uri.encode_data_uri("audio/wav", query.wav) if query.wav else None,
    }


def _card(run: Run, row: int) -> dict[str, Any]:
    """Return {"row", "clip_id", "labels" (as text), "url"} of a clip, for the macro `card` of app/pages."""
    clip = run.read_clip(row)
    labels = ", ".join(clip["labels"] or []) or clip["clip_id"]
    return {"row": row, "clip_id": clip["clip_id"], "labels": labels, "url": _clip_url(run, row)}


def _clip_url(run: Run, row: int) -> str:
    """Return the URL of a clip: with .jpg that of its picture, with .wav that of its sound."""
    return f"clips/{quote(run.name, safe='')}/{row}"


def _to_pixels(coordinates: Sequence[float]) -> list[float]:
    """Scale coordinates so that they fill the side of the map, except for its margins."""
    low, high = min(coordinates, default=0.0), max(coordinates, default=1.0)
    extent = (high - low) or 1.0  # if all are equal, any other number than 0
    return [MAP_MARGIN + (c - low) / extent * (MAP_SIDE - 2 * MAP_MARGIN) for c in coordinates]


def _format_metric(metrics: dict[str, Any], name: str) -> dict[str, str]:
    """Return {"value", "interval"} of a metric as text, empty if it is missing.

    metrics: flat; the interval of `correspondence.auc` is under `correspondence.ci.auc`.
    """
    value = metrics.get(name)
    if value is None:
        return {"value": "", "interval": ""}
    section, _, metric = name.rpartition(".")
    interval_ends = metrics.get(f"{section}.ci.{metric}")
    interval = ""
    if isinstance(interval_ends, list):
        interval = f"{interval_ends[0]:.3f} to {interval_ends[1]:.3f}"
    return {"value": f"{value:.3f}", "interval": interval}
