"""The answers of the page as HTML. Text from clips, files and labels is escaped."""

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

EVERY, LONGEST = 0.25, 60.0  # s: hop of the scores along a video, and the maximum duration
EXAMPLES = 8  # test clips to search with
BEST = 5  # classes in an answer
NAMES = {"audio": "sound", "video": "picture", "both": "clip"}
SIDE = 560  # width and height of the map
HUES = 12  # labels with a colour in the map; others are grey

_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, /, **values: Any) -> str:
    """Render a template of app/pages."""
    return _pages.get_template(f"{template}.html").render(**values)


def render_error(error: UserError) -> str:
    return render("failed", text=str(error))


class Answers:
    """Decode uploads, call the model, and render the answers. `name` is the name of a run.

    Every method raises UserError for a mistake of the user or an unusable file.
    """

    def __init__(self, runs: Runs, decoder: Decoder, model_process: ModelProcess) -> None:
        self.runs, self.decoder, self.call_model = runs, decoder, model_process

    def read(self, run: Run, path: str) -> DecodedFile:
        return self.decoder.read(run.config, path)

    def search(self, name: str, path: str, modality: str, k: int) -> str:
        """Find the clips nearest to a file. modality: of the clips to find: audio, video, or both."""
        run = self.runs[name]
        query = self.read(run, path)
        results = self.call_model(model.nearest, run.fetch_model(with_index=True), query, modality, k)
        return self._render_results(run, _preview(query), results)

    def search_by_clip(self, name: str, row: int, modality: str, k: int) -> str:
        """Find the clips nearest to a clip of the library."""
        run = self.runs[name]
        clip = run.clip(row)
        url = f"{_clips_url(run)}/{row}"
        preview = {"name": clip["clip_id"], "image": f"{url}.jpg", "sound": f"{url}.wav"}
        results = self.call_model(model.nearest_to, run.fetch_model(with_index=True), row, modality, k)
        return self._render_results(run, preview, results)

    def _render_results(
        self, run: Run, preview: dict, results: list[tuple[str, list[tuple[int, float]]]]
    ) -> str:
        galleries = []
        for direction, hits in results:
            source, target = direction.split("_to_")
            cards = [_card(run, row) | {"score": f"{score:.2f}"} for row, score in hits]
            title = f"{NAMES[target].capitalize()}s nearest to this {NAMES[source]}"
            galleries.append({"title": title, "role": target, "cards": cards})
        return render("search", query=preview, galleries=galleries, total=len(run.clips))

    def examples(self, name: str) -> str:
        """Show test clips to search with, with as many different labels as possible."""
        run = self.runs[name]
        split, labels = run.clips["split"].to_numpy(), run.clips["labels"]
        label_sets: set = set()
        first, rest = [], []  # the first clip of each set of labels, and the others
        for row in np.random.default_rng(0).permutation(np.flatnonzero(split == "test"))[:1000]:
            clip_labels = tuple(labels[int(row)].as_py() or [])
            (rest if clip_labels in label_sets else first).append(int(row))
            label_sets.add(clip_labels)
        return render("examples", cards=[_card(run, row) for row in (first + rest)[:EXAMPLES]])

    def compare(self, name: str, sound_path: str, picture_path: str) -> str:
        """Show the score of a sound and a picture, its rank among test pairs, and where the sound is."""
        run = self.runs[name]
        sound, picture = self.read(run, sound_path), self.read(run, picture_path)
        comparison = self.call_model(model.compare, run.fetch_model(with_index=True), sound, picture)
        score, heat = comparison["score"], comparison["map"]
        positives, negatives = comparison["positives"], comparison["negatives"]
        image = (
            data_uri.jpeg(picture.image, 480) if heat is None else data_uri.heatmap(picture.image, heat, 480)
        )
        has_pairs = bool(len(positives) and len(negatives))
        return render(
            "compare",
            score=f"{score:+.2f}",
            match=score > 0,
            image=image,
            map=heat is not None,
            sound=data_uri.data_uri("audio/wav", sound.wav),
            above=f"{np.mean(negatives < score):.0%}" if has_pairs else "",
            below=f"{np.mean(positives <= score):.0%}" if has_pairs else "",
            positives=len(positives),
            negatives=len(negatives),
            chart=histogram(positives, negatives, score) if has_pairs else None,
        )

    def along(self, name: str, path: str) -> str:
        """Show the score of a video along time."""
        run = self.runs[name]
        root = run.fetch_model()
        if not self.call_model(model.facts, root)["cross_modal"]:
            raise UserError(
                "this model does not compare sounds with pictures: choose one with task: matching"
            )
        decode_from = partial(self.decoder.read, run.config, path)
        video_parts = list(decode_parts(decode_from, run.config, EVERY, LONGEST))
        points = self.call_model(model.along, root, video_parts, EVERY)
        scores = np.array([score for _, score in points])
        return render(
            "along",
            name=Path(path).name,
            chart=curve(points),
            mean=f"{scores.mean():+.2f}",
            share=f"{np.mean(scores > 0):.0%}",
            count=len(points),
            complete=video_parts[-1][0] + video_parts[-1][1].seconds < LONGEST,
            longest=f"{LONGEST:g}",
        )

    def classify(self, name: str, path: str) -> str:
        """Show the most probable classes by sound, by picture, and by both."""
        run = self.runs[name]
        query = self.read(run, path)
        predictions = [
            {
                "title": f"By its {NAMES[modality]}" if modality != "both" else "By both",
                "rows": [{"name": n, "share": f"{p:.1%}", "width": f"{100 * p:.1f}"} for n, p in classes],
            }
            for modality, classes in self.call_model(model.classify, run.fetch_model(), query, BEST)
        ]
        missing = [f"No {NAMES[side]}: {why}." for side, why in query.missing.items()]
        return render("classify", query=_preview(query), predictions=predictions, missing=missing)

    def no_classifier(self, name: str) -> str:
        """Return the message for a model without classes; empty for a classifier."""
        config = self.runs[name].config
        return "" if config.get("classes") else render("no_classifier", task=config["task"], run=name)

    def embedding_map(self, name: str) -> str:
        """Show a t-SNE map of the embeddings of the test split."""
        from pipeline.report.tsne import project  # scikit-learn takes a second to import

        run = self.runs[name]
        folder = run.fetch_model(with_index=True) / "data/embeddings"
        test = np.flatnonzero(run.clips["split"].to_numpy() == "test")
        clips = [
            clip | {"row": int(row)} for clip, row in zip(run.clips.take(test).to_pylist(), test, strict=True)
        ]
        paths = {side: folder / f"{side}.npy" for side in NAMES}
        embeddings = {s: np.load(p, mmap_mode="r")[test] for s, p in paths.items() if p.exists()}
        points = project(embeddings, clips)
        rows = {clip["clip_id"]: clip["row"] for clip in clips}
        counts: dict[str, int] = {}
        for p in points:
            counts[p["label"]] = counts.get(p["label"], 0) + 1
        legend = sorted(filter(None, counts), key=lambda label: -counts[label])[:HUES]
        xs, ys = _scale([p["x"] for p in points]), _scale([-p["y"] for p in points])
        marks = [
            {
                "x": f"{x:.1f}",
                "y": f"{y:.1f}",
                "hue": legend.index(p["label"]) if p["label"] in legend else "rest",
                "kind": p["kind"],
                "name": p["label"] or p["clip_id"],
                "url": f"{_clips_url(run)}/{rows[p['clip_id']]}",
            }
            for p, x, y in zip(points, xs, ys, strict=True)
        ]
        return render("map", marks=marks, legend=legend, count=len(marks), side=SIDE)

    def leaderboard(self) -> str:
        """Show the metrics of every experiment, and the parameters that differ."""
        rows = self.runs.leaderboard()
        metrics = [h for h in HEADLINES if any(h in row["metrics"] for row in rows)]
        params = list(rows[0]["params"]) if rows else []
        table_rows = [
            {
                "name": row["name"],
                "metrics": [_format_metric(row["metrics"], h) for h in metrics],
                "params": [str(row["params"][p]) for p in params],
            }
            for row in rows
        ]
        return render("leaderboard", metrics=metrics, params=params, rows=table_rows)


def _preview(query: DecodedFile) -> dict[str, Any]:
    """Return the query's name, picture and sound for the page."""
    return {
        "name": query.name,
        "image": None if query.image is None else data_uri.jpeg(query.image, 240),
        "sound": data_uri.data_uri("audio/wav", query.wav) if query.wav else None,
    }


def _card(run: Run, row: int) -> dict[str, Any]:
    clip = run.clip(row)
    labels = ", ".join(clip["labels"] or []) or clip["clip_id"]
    return {"row": row, "clip_id": clip["clip_id"], "labels": labels, "url": f"{_clips_url(run)}/{row}"}


def _clips_url(run: Run) -> str:
    return f"clips/{quote(run.name, safe='')}"


def _scale(values: Sequence[float]) -> list[float]:
    """Scale coordinates to the side of the map."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return [12 + (v - low) / ((high - low) or 1) * (SIDE - 24) for v in values]


def _format_metric(metrics: dict[str, Any], name: str) -> dict[str, str]:
    value = metrics.get(name)
    if value is None:
        return {"value": "", "interval": ""}
    section, _, last = name.rpartition(".")
    ends = metrics.get(f"{section}.ci.{last}")
    interval = f"{ends[0]:.3f} to {ends[1]:.3f}" if isinstance(ends, list) else ""
    return {"value": f"{value:.3f}", "interval": interval}
