"""The charts of the page, as SVG."""

import numpy as np
from markupsafe import Markup

BINS = 40  # of the histogram
MAX_TICKS = 8  # of the time axis
STEPS = (0.5, 1, 2, 5, 10, 20, 60)  # s: possible distances of ticks on the time axis


def histogram(positives: np.ndarray, negatives: np.ndarray, score: float) -> Markup:
    """Draw the histograms of the scores of positive and negative pairs, with a line at `score`.

    positives, negatives: (n,) and (m,) scores of pairs that match and that do not; neither is empty. Each
    histogram shows the fraction of its pairs in each bin.
    """
    scores = np.concatenate([positives, negatives, [score]])
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    width, height = 560, 150
    elements = [
        f'<svg class="chart" viewBox="0 0 {width} {height + 24}" role="img" aria-label="Scores of pairs">'
    ]
    fractions = {  # CSS class -> (BINS,)
        "wrong": np.histogram(negatives, edges)[0] / len(negatives),
        "right": np.histogram(positives, edges)[0] / len(positives),
    }
    largest_fraction = max(values.max() for values in fractions.values())
    for css_class, values in fractions.items():
        bar_heights = values / largest_fraction * (height - 10)
        for i, bar_height in enumerate(bar_heights):
            if bar_height:
                x = i * width / BINS
                elements.append(
                    f'<rect class="{css_class}" x="{x:.1f}" y="{height - bar_height:.1f}"'
                    f' width="{width / BINS - 1:.1f}" height="{bar_height:.1f}"/>'
                )
    x = (score - edges[0]) / (edges[-1] - edges[0]) * width
    anchor = _text_anchor(x / width)
    elements.append(
        f'<line class="here" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/><text class="here"'
        f' text-anchor="{anchor}" x="{x:.1f}" y="{height + 18}">{score:+.2f}</text>'
    )
    return Markup("".join(elements) + "</svg>")


def curve(points: list[tuple[float, float]]) -> Markup:
    """Draw scores along time, with a line at score 0. points: (time (s), score), in order of time."""
    width, height, margin = 640, 200, 40
    scores = [score for _, score in points] + [0.0]
    low, high = min(scores), max(scores)
    padding = 0.1 * (high - low or 1)  # above and below the curve
    low, high = low - padding, high + padding
    end = max(points[-1][0], 1e-9)  # not 0, since it is a divisor

    def x_pixel(time: float) -> str:
        return f"{margin + time / end * (width - margin - 8):.1f}"

    def y_pixel(score: float) -> str:
        return f"{(high - score) / (high - low) * height:.1f}"

    zero = (high - 0) / (high - low) * height
    line = " ".join(f"{x_pixel(time)},{y_pixel(score)}" for time, score in points)
    dots = "".join(
        f'<circle class="{"right" if score > 0 else "wrong"}" cx="{x_pixel(time)}" cy="{y_pixel(score)}"'
        f' r="4"><title>{time:.2f} s: {score:+.2f}</title></circle>'
        for time, score in points
    )
    ticks = "".join(
        f'<text x="{x_pixel(tick)}" y="{height + 20}"'
        f' text-anchor="{_text_anchor(tick / end)}">{tick:g} s</text>'
        for tick in _time_ticks(end)
    )
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} {height + 28}" role="img" aria-label="Score along time">'
        f'<line class="zero" x1="{margin}" x2="{width}" y1="{zero:.1f}" y2="{zero:.1f}"/>'
        f'<text x="{margin - 6}" y="{zero + 4:.1f}" text-anchor="end">0</text>'
        f'<polyline class="line" points="{line}"/>{dots}{ticks}</svg>'
    )


def _text_anchor(position: float) -> str:
    """Return the SVG text-anchor with which a text stays inside the chart.

    position: of the text, 0 (left edge of the chart) to 1 (right edge).
    """
    if position < 0.1:
        return "start"
    return "end" if position > 0.95 else "middle"


def _time_ticks(end: float) -> list[float]:
    """Return the times (s) from 0 to `end` with a label on the axis, about MAX_TICKS at most."""
    step = next((step for step in STEPS if end / step <= MAX_TICKS), STEPS[-1])
    return np.arange(0, end + 1e-9, step).tolist()
