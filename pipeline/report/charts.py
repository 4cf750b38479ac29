"""Line charts as inline SVG that takes its colours from the page (classes `grid`, `axis`, `line-0`, ...)."""

import math
from typing import NamedTuple

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 12, 42
HUES = 12  # colours of a scatter chart; further groups start over with the first colour
LINE_STYLES = 6  # colours and dash patterns of a line chart; further lines start over with the first
_MAX_POINTS = 300  # per line: about one per pixel; more only enlarge the page
_MAX_DOTS = 16  # a line of at most so many points also gets dots
_SCATTER_SIDE, _SCATTER_MARGIN, _MARK_SIZE = 560, 12, 9  # pixels

Points = list[tuple[float, float]]  # (x, y) in the units of the data


class ScatterPoint(NamedTuple):
    """A mark of a scatter chart."""

    x: float
    y: float
    shape: str  # "dot" or "box"
    tooltip: str


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers that span low..high, in steps of 1, 2 or 5 times a power of ten."""
    if not high > low:  # all values are equal: draw them in the middle of a range
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    smallest_step = (high - low) / count
    power = 10.0 ** math.floor(math.log10(smallest_step))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= smallest_step * 0.999)
    # 1e-9: a limit that is on a tick except for a floating-point error needs no further tick
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def draw_lines(
    series: dict[str, Points],
    label: str,
    x_name: str,
    y_name: str,
    x_ticks: list[float] | None = None,
    y_ticks: list[float] | None = None,
    diagonal: bool = False,
) -> Markup:
    """Draw a line chart as SVG; each line has its own colour and dash pattern.

    series: name -> points (x, y) of a line; a line of few points also gets dots. label: description of the
    chart for screen readers. x_name, y_name: of the axes. x_ticks, y_ticks: the numbers at the axes; None:
    they are derived from the data. diagonal: whether to draw a line from (0, 0) to (1, 1).
    Returns an empty string without any points.
    """
    series = {name: _thin_out(points) for name, points in series.items() if points}
    points = [p for line in series.values() for p in line]
    if not points:
        return Markup("")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_ticks = x_ticks or _prefer_integers(round_ticks(min(xs), max(xs)))
    y_ticks = y_ticks or round_ticks(min(ys), max(ys))
    if len(set(xs)) > 1 and not diagonal:  # the line uses the whole width
        left, right = min(xs), max(xs)
        x_ticks = [tick for tick in x_ticks if left <= tick <= right]
    else:
        left, right = x_ticks[0], x_ticks[-1]
    bottom, top = y_ticks[0], y_ticks[-1]

    def to_pixels(x: float, y: float) -> tuple[float, float]:
        x_fraction = (x - left) / (right - left)
        y_fraction = (y - bottom) / (top - bottom)
        return (
            _LEFT + x_fraction * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - y_fraction * (_HEIGHT - _TOP - _BOTTOM),
        )

    base = _HEIGHT - _BOTTOM
    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">']
    for tick in y_ticks:
        _, y = to_pixels(left, tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x, _ = to_pixels(tick, bottom)
        parts.append(f'<path class="axis" d="M{x:.1f} {base}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {base}H{_WIDTH - _RIGHT}"/>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="name" x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">{escape(x_name)}</text>'
    )
    y_middle = (_TOP + base) / 2
    parts.append(
        f'<text class="name" transform="translate(12 {y_middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_name)}</text>"
    )
    if diagonal:
        (x0, y0), (x1, y1) = to_pixels(0, 0), to_pixels(1, 1)
        parts.append(f'<path class="chance-line" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')
    for number, line in enumerate(series.values()):
        pixels = [to_pixels(x, y) for x, y in line]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in pixels)
        style = number % LINE_STYLES
        parts.append(f'<path class="line line-{style}" d="M{path}"/>')
        if len(pixels) <= _MAX_DOTS and not diagonal:
            parts += [
                f'<circle class="spot spot-{style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in pixels
            ]
    return Markup("".join(parts) + "</svg>")


def draw_scatter(groups: dict[str, list[ScatterPoint]], label: str) -> Markup:
    """Draw a scatter chart without axes as SVG; each group has its own colour.

    groups: name -> points. label: description of the chart for screen readers.
    Returns an empty string without any points.
    """
    points = [point for group in groups.values() for point in group]
    if not points:
        return Markup("")
    xs, ys = [point.x for point in points], [point.y for point in points]
    # If all coordinates are equal, any other divisor than 0 serves.
    left, top = min(xs), max(ys)
    x_extent, y_extent = (max(xs) - left) or 1, (top - min(ys)) or 1
    side, size = _SCATTER_SIDE, _MARK_SIZE
    parts = [f'<svg class="chart map" viewBox="0 0 {side} {side}" role="img" aria-label="{escape(label)}">']
    for number, group in enumerate(groups.values()):
        for x, y, shape, tooltip in group:
            x_pixel = _SCATTER_MARGIN + (x - left) / x_extent * (side - 2 * _SCATTER_MARGIN)
            y_pixel = _SCATTER_MARGIN + (top - y) / y_extent * (side - 2 * _SCATTER_MARGIN)
            css_class = f'class="hue hue-{number % HUES}"'
            title = f"<title>{escape(tooltip)}</title>"
            if shape == "box":
                corner = f'x="{x_pixel - size / 2:.1f}" y="{y_pixel - size / 2:.1f}"'
                parts.append(f'<rect {css_class} {corner} width="{size}" height="{size}">{title}</rect>')
            else:
                centre = f'cx="{x_pixel:.1f}" cy="{y_pixel:.1f}"'
                parts.append(f'<circle {css_class} {centre} r="{size / 2}">{title}</circle>')
    return Markup("".join(parts) + "</svg>")


def _thin_out(points: Points) -> Points:
    """Sort the points by x and keep at most _MAX_POINTS of them, evenly spaced."""
    points = sorted(points)
    if len(points) <= _MAX_POINTS:
        return points
    step = (len(points) - 1) / (_MAX_POINTS - 1)
    return [points[round(i * step)] for i in range(_MAX_POINTS)]


def _prefer_integers(values: list[float]) -> list[float]:
    """Return only the integers among `values` if there are at least two: half epochs make no sense.

    Otherwise return all values.
    """
    integers = [value for value in values if float(value).is_integer()]
    return integers if len(integers) > 1 else values
