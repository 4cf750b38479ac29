"""What the page answers: a question in, HTML out. Whatever comes from clips, files or labels is escaped."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app import model
from app.decoder import Decoder
from app.model import ModelProcess
from app.runs import HEADLINES, Run, Runs
from models.inference.query import Query, parts
from pipeline.errors import UserError
from pipeline.report import data_uri

EVERY, LONGEST = 0.25, 60.0  # s: how often, and for how long, the score is told along a video
EXAMPLES = 8
BEST = 5  # classes told
BINS = 40
NAMES = {"audio": "sound", "video": "picture", "both": "clip"}
SIDE = 560  # of the map
HUES = 12  # colours of the map; other labels are grey

_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, /, **values: Any) -> str:
    return _pages.get_template(f"{template}.html").render(**values)


def failed(error: UserError) -> str:
    return page("failed", text=str(error))


class Answers:
    """Asks the decoder for files and the model for what it makes of them. Runs are given by name.

    Every method raises UserError for what a user did or brought.
    """

    def __init__(self, runs: Runs, decoder: Decoder, ask: ModelProcess) -> None:
        self.runs, self.decoder, self.ask = runs, decoder, ask

    def read(self, run: Run, path: str) -> Query:
        return self.decoder.read(run.config, path)

    def search(self, name: str, path: str, find: str, k: int) -> str:
        """The nearest clips to a file. find: audio, video, or both."""
        run = self.runs[name]
        query = self.read(run, path)
        found = self.ask(model.nearest, run.ready(index=True), query, find, k)
        return self._found(run, _given(query), found)

    def search_by_clip(self, name: str, row: int, find: str, k: int) -> str:
        """The nearest to a clip of the library itself."""
        run = self.runs[name]
        clip = run.clip(row)
        address = f"{_address(run)}/{row}"
        asked = {"name": clip["clip_id"], "image": f"{address}.jpg", "sound": f"{address}.wav"}
        return self._found(run, asked, self.ask(model.nearest_to, run.ready(index=True), row, find, k))

    def _found(self, run: Run, asked: dict, found: list[tuple[str, list[tuple[int, float]]]]) -> str:
        galleries = []
        for direction, hits in found:
            source, target = direction.split("_to_")
            cards = [_card(run, row) | {"score": f"{score:.2f}"} for row, score in hits]
            title = f"{NAMES[target].capitalize()}s nearest to this {NAMES[source]}"
            galleries.append({"title": title, "role": target, "cards": cards})
        return page("search", asked=asked, galleries=galleries, total=len(run.clips))

    def examples(self, name: str) -> str:
        """Clips of the test split to ask with, of as many kinds as there are."""
        run = self.runs[name]
        split, labels = run.clips["split"].to_numpy(), run.clips["labels"]
        seen: set = set()
        fresh, rest = [], []
        for row in np.random.default_rng(0).permutation(np.flatnonzero(split == "test"))[:1000]:
            kind = tuple(labels[int(row)].as_py() or [])
            (rest if kind in seen else fresh).append(int(row))
            seen.add(kind)
        return page("examples", cards=[_card(run, row) for row in (fresh + rest)[:EXAMPLES]])

    def belong(self, name: str, sound_path: str, picture_path: str) -> str:
        """The score of a sound and a picture, where it lies among test pairs, and where the sound is."""
        run = self.runs[name]
        sound, picture = self.read(run, sound_path), self.read(run, picture_path)
        told = self.ask(model.belong, run.ready(index=True), sound, picture)
        score, where, right, wrong = told["score"], told["where"], told["right"], told["wrong"]
        image = (
            data_uri.jpeg(picture.image, 480)
            if where is None
            else data_uri.heatmap(picture.image, where, 480)
        )
        known = bool(len(right) and len(wrong))
        return page(
            "belong",
            score=f"{score:+.2f}",
            match=score > 0,
            image=image,
            map=where is not None,
            sound=data_uri.data_uri("audio/wav", sound.wav),
            above=f"{np.mean(wrong < score):.0%}" if known else "",
            below=f"{np.mean(right <= score):.0%}" if known else "",
            right=len(right),
            wrong=len(wrong),
            chart=histogram(right, wrong, score) if known else None,
        )

    def along(self, name: str, path: str) -> str:
        """A video's score along time."""
        run = self.runs[name]
        root = run.ready()
        if not self.ask(model.facts, root)["across"]:
            raise UserError("this model does not bring sounds near pictures: choose one of task: matching")
        read = list(parts(self.decoder.read, run.config, path, EVERY, LONGEST))
        points = self.ask(model.along, root, read, EVERY)
        scores = np.array([score for _, score in points])
        return page(
            "along",
            name=Path(path).name,
            chart=curve(points),
            mean=f"{scores.mean():+.2f}",
            share=f"{np.mean(scores > 0):.0%}",
            count=len(points),
            whole=read[-1][0] + read[-1][1].seconds < LONGEST,
            longest=f"{LONGEST:g}",
        )

    def classify(self, name: str, path: str) -> str:
        """The likeliest classes by sound, by picture, and by both."""
        run = self.runs[name]
        query = self.read(run, path)
        ways = [
            {
                "title": f"By its {NAMES[way]}" if way != "both" else "By both",
                "rows": [{"name": n, "share": f"{p:.1%}", "width": f"{100 * p:.1f}"} for n, p in found],
            }
            for way, found in self.ask(model.classify, run.ready(), query, BEST)
        ]
        missing = [f"No {NAMES[side]}: {why}." for side, why in query.missing.items()]
        return page("classify", given=_given(query), ways=ways, missing=missing)

    def no_classifier(self, name: str) -> str:
        """What stands in place of classes where the model tells none; empty for a classifier."""
        config = self.runs[name].config
        return "" if config.get("classes") else page("no_classifier", task=config["task"], run=name)

    def embedding_map(self, name: str) -> str:
        """The test split's clips on a map on which those lie near each other whose embeddings do."""
        from pipeline.report.tsne import project  # scikit-learn takes a second to import

        run = self.runs[name]
        folder = run.ready(index=True) / "data/embeddings"
        test = np.flatnonzero(run.clips["split"].to_numpy() == "test")
        clips = [
            clip | {"row": int(row)} for clip, row in zip(run.clips.take(test).to_pylist(), test, strict=True)
        ]
        stored = {side: folder / f"{side}.npy" for side in NAMES}
        found = {s: np.load(p, mmap_mode="r")[test] for s, p in stored.items() if p.exists()}
        points = project(found, clips)
        rows = {clip["clip_id"]: clip["row"] for clip in clips}
        counts: dict[str, int] = {}
        for p in points:
            counts[p["label"]] = counts.get(p["label"], 0) + 1
        legend = sorted(filter(None, counts), key=lambda label: -counts[label])[:HUES]
        xs, ys = _spread([p["x"] for p in points]), _spread([-p["y"] for p in points])
        marks = [
            {
                "x": f"{x:.1f}",
                "y": f"{y:.1f}",
                "hue": legend.index(p["label"]) if p["label"] in legend else "rest",
                "kind": p["kind"],
                "name": p["label"] or p["clip_id"],
                "address": f"{_address(run)}/{rows[p['clip_id']]}",
            }
            for p, x, y in zip(points, xs, ys, strict=True)
        ]
        return page("map", marks=marks, legend=legend, count=len(marks), side=SIDE)

    def leaderboard(self) -> str:
        """Every experiment with what it was worth, and the parameters in which they differ."""
        rows = self.runs.leaderboard()
        known = [h for h in HEADLINES if any(h in row["metrics"] for row in rows)]
        params = list(rows[0]["params"]) if rows else []
        told = [
            {
                "name": row["name"],
                "metrics": [_measure(row["metrics"], h) for h in known],
                "params": [str(row["params"][p]) for p in params],
            }
            for row in rows
        ]
        return page("leaderboard", metrics=known, params=params, rows=told)


def _given(query: Query) -> dict[str, Any]:
    """What was asked with, as the page shows it."""
    return {
        "name": query.name,
        "image": None if query.image is None else data_uri.jpeg(query.image, 240),
        "sound": data_uri.data_uri("audio/wav", query.wav) if query.wav else None,
    }


def _card(run: Run, row: int) -> dict[str, Any]:
    clip = run.clip(row)
    labels = ", ".join(clip["labels"] or []) or clip["clip_id"]
    return {"row": row, "clip_id": clip["clip_id"], "labels": labels, "address": f"{_address(run)}/{row}"}


def _address(run: Run) -> str:
    return f"clips/{quote(run.name, safe='')}"


def _spread(values: Sequence[float]) -> list[float]:
    """Over the map's side."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return [12 + (v - low) / ((high - low) or 1) * (SIDE - 24) for v in values]


def _measure(metrics: dict[str, Any], name: str) -> dict[str, str]:
    value = metrics.get(name)
    if value is None:
        return {"value": "", "interval": ""}
    section, _, last = name.rpartition(".")
    ends = metrics.get(f"{section}.ci.{last}")
    interval = f"{ends[0]:.3f} to {ends[1]:.3f}" if isinstance(ends, list) else ""
    return {"value": f"{value:.3f}", "interval": interval}


def histogram(right: np.ndarray, wrong: np.ndarray, score: float) -> Markup:
    """How often each score is among pairs that match and others, and where `score` stands."""
    every = np.concatenate([right, wrong, [score]])
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    width, height = 560, 150
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height + 24}" role="img" aria-label="Scores of pairs">'
    ]
    most = max(np.histogram(x, edges)[0].max() / len(x) for x in (right, wrong))
    for name, values in (("wrong", wrong), ("right", right)):
        counts = np.histogram(values, edges)[0] / len(values) / most * (height - 10)
        for i, tall in enumerate(counts):
            if tall:
                x = i * width / BINS
                parts.append(
                    f'<rect class="{name}" x="{x:.1f}" y="{height - tall:.1f}" width="{width / BINS - 1:.1f}"'
                    f' height="{tall:.1f}"/>'
                )
    at = (score - edges[0]) / (edges[-1] - edges[0]) * width
    anchor = _anchor(at / width)
    parts.append(
        f'<line class="here" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height}"/><text class="here"'
        f' text-anchor="{anchor}" x="{at:.1f}" y="{height + 18}">{score:+.2f}</text>'
    )
    return Markup("".join(parts) + "</svg>")


def curve(points: list[tuple[float, float]]) -> Markup:
    """Scores over time (s), with a line at 0."""
    width, height, left = 640, 200, 40
    values = [y for _, y in points] + [0.0]
    low, high = min(values), max(values)
    low, high = low - 0.1 * (high - low or 1), high + 0.1 * (high - low or 1)
    end = max(points[-1][0], 1e-9)

    def at(x: float, y: float) -> str:
        return f"{left + x / end * (width - left - 8):.1f},{(high - y) / (high - low) * height:.1f}"

    zero = (high - 0) / (high - low) * height
    line = " ".join(at(x, y) for x, y in points)
    dots = "".join(
        f'<circle class="{"right" if y > 0 else "wrong"}" cx="{at(x, y).split(",")[0]}"'
        f' cy="{at(x, y).split(",")[1]}" r="4"><title>{x:.2f} s: {y:+.2f}</title></circle>'
        for x, y in points
    )
    ticks = "".join(
        f'<text x="{at(t, 0).split(",")[0]}" y="{height + 20}" text-anchor="{_anchor(t / end)}">{t:g} s'
        "</text>"
        for t in _ticks(end)
    )
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} {height + 28}" role="img" aria-label="Score along time">'
        f'<line class="zero" x1="{left}" x2="{width}" y1="{zero:.1f}" y2="{zero:.1f}"/>'
        f'<text x="{left - 6}" y="{zero + 4:.1f}" text-anchor="end">0</text>'
        f'<polyline class="line" points="{line}"/>{dots}{ticks}</svg>'
    )


def _anchor(share: float) -> str:
    """Of text at a share of the width, so that it stays within."""
    return "start" if share < 0.1 else "end" if share > 0.95 else "middle"


def _ticks(end: float) -> Iterable[float]:
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 60) if end / s <= 8 or s == 60)
    return np.arange(0, end + 1e-9, step).tolist()
