"""The charts of the page, as SVG."""

from collections.abc import Iterable

import numpy as np
from markupsafe import Markup

BINS = 40  # of the histogram


def histogram(positives: np.ndarray, negatives: np.ndarray, score: float) -> Markup:
    """Draw the histograms of the scores of positive and negative pairs, with a line at `score`."""
    scores = np.concatenate([positives, negatives, [score]])
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    width, height = 560, 150
    elements = [
        f'<svg class="chart" viewBox="0 0 {width} {height + 24}" role="img" aria-label="Scores of pairs">'
    ]
    largest_share = max(np.histogram(x, edges)[0].max() / len(x) for x in (positives, negatives))
    for name, values in (("wrong", negatives), ("right", positives)):
        bars = np.histogram(values, edges)[0] / len(values) / largest_share * (height - 10)
        for i, bar in enumerate(bars):
            if bar:
                x = i * width / BINS
                elements.append(
                    f'<rect class="{name}" x="{x:.1f}" y="{height - bar:.1f}" width="{width / BINS - 1:.1f}"'
                    f' height="{bar:.1f}"/>'
                )
    x = (score - edges[0]) / (edges[-1] - edges[0]) * width
    anchor = _anchor(x / width)
    elements.append(
        f'<line class="here" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/><text class="here"'
        f' text-anchor="{anchor}" x="{x:.1f}" y="{height + 18}">{score:+.2f}</text>'
    )
    return Markup("".join(elements) + "</svg>")


def curve(points: list[tuple[float, float]]) -> Markup:
    """Draw scores over time (s), with a line at 0."""
    width, height, margin = 640, 200, 40
    values = [y for _, y in points] + [0.0]
    low, high = min(values), max(values)
    low, high = low - 0.1 * (high - low or 1), high + 0.1 * (high - low or 1)
    end = max(points[-1][0], 1e-9)

    def to_pixels(x: float, y: float) -> str:
        return f"{margin + x / end * (width - margin - 8):.1f},{(high - y) / (high - low) * height:.1f}"

    zero = (high - 0) / (high - low) * height
    line = " ".join(to_pixels(x, y) for x, y in points)
    dots = "".join(
        f'<circle class="{"right" if y > 0 else "wrong"}" cx="{to_pixels(x, y).split(",")[0]}"'
        f' cy="{to_pixels(x, y).split(",")[1]}" r="4"><title>{x:.2f} s: {y:+.2f}</title></circle>'
        for x, y in points
    )
    ticks = "".join(
        f'<text x="{to_pixels(t, 0).split(",")[0]}" y="{height + 20}"'
        f' text-anchor="{_anchor(t / end)}">{t:g} s</text>'
        for t in _ticks(end)
    )
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} {height + 28}" role="img" aria-label="Score along time">'
        f'<line class="zero" x1="{margin}" x2="{width}" y1="{zero:.1f}" y2="{zero:.1f}"/>'
        f'<text x="{margin - 6}" y="{zero + 4:.1f}" text-anchor="end">0</text>'
        f'<polyline class="line" points="{line}"/>{dots}{ticks}</svg>'
    )


def _anchor(share: float) -> str:
    """Return the text anchor at a share of the width, so that the text stays in the chart."""
    return "start" if share < 0.1 else "end" if share > 0.95 else "middle"


def _ticks(end: float) -> Iterable[float]:
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 60) if end / s <= 8 or s == 60)
    return np.arange(0, end + 1e-9, step).tolist()
