"""Line charts as inline SVG that takes its colours from the page (classes `grid`, `axis`, `line-0`, ...)."""

import math

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 12, 42
HUES = 12  # colours of a scatter chart; further groups start over with the first colour
_POINTS = 300  # per line: about one per pixel; more only enlarge the page

Points = list[tuple[float, float]]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers that span low..high, in steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def lines(
    series: dict[str, Points],
    label: str,
    x_name: str,
    y_name: str,
    x_ticks: list[float] | None = None,
    y_ticks: list[float] | None = None,
    diagonal: bool = False,
) -> Markup:
    """Draw a line chart; each series has its own colour and dash pattern. Series of few points also get dots.

    label: description of the chart for screen readers. x_ticks, y_ticks: None derives them from the data.
    diagonal: whether to draw a line from (0, 0) to (1, 1). Returns an empty string without any points.
    """
    series = {name: _thin(points) for name, points in series.items() if points}
    points = [p for line in series.values() for p in line]
    if not points:
        return Markup("")
    x_ticks = x_ticks or _prefer_integers(ticks(min(x for x, _ in points), max(x for x, _ in points)))
    y_ticks = y_ticks or ticks(min(y for _, y in points), max(y for _, y in points))
    if len({x for x, _ in points}) > 1 and not diagonal:  # use the whole width
        span = (min(x for x, _ in points), max(x for x, _ in points))
        x_ticks = [t for t in x_ticks if span[0] <= t <= span[1]]
    else:
        span = (x_ticks[0], x_ticks[-1])

    def to_pixels(x: float, y: float) -> tuple[float, float]:
        x_share = (x - span[0]) / (span[1] - span[0])
        y_share = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return (
            _LEFT + x_share * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - y_share * (_HEIGHT - _TOP - _BOTTOM),
        )

    base = _HEIGHT - _BOTTOM
    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">']
    for tick in y_ticks:
        _, y = to_pixels(span[0], tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x, _ = to_pixels(tick, y_ticks[0])
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
        parts.append(f'<path class="line line-{number % 6}" d="M{path}"/>')
        if len(pixels) <= 16 and not diagonal:
            parts += [
                f'<circle class="spot spot-{number % 6}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in pixels
            ]
    return Markup("".join(parts) + "</svg>")


def scatter(groups: dict[str, list[tuple[float, float, str, str]]], label: str) -> Markup:
    """Draw a scatter chart without axes; each group has its own colour.

    groups: name -> points (x, y, shape, tooltip), shape "dot" or "box". label: description of the chart for
    screen readers. Returns an empty string without any points.
    """
    points = [p for group in groups.values() for p in group]
    if not points:
        return Markup("")
    (x_min, x_max), (y_min, y_max) = (
        (min(v), max(v)) for v in zip(*((x, y) for x, y, *_ in points), strict=True)
    )
    side, size = 560, 9
    parts = [f'<svg class="chart map" viewBox="0 0 {side} {side}" role="img" aria-label="{escape(label)}">']
    for number, group in enumerate(groups.values()):
        for x, y, shape, text in group:
            x_pixel = 12 + (x - x_min) / ((x_max - x_min) or 1) * (side - 24)
            y_pixel = 12 + (y_max - y) / ((y_max - y_min) or 1) * (side - 24)
            mark = f'class="hue hue-{number % HUES}"'
            title = f"<title>{escape(text)}</title>"
            if shape == "box":
                corner = f'x="{x_pixel - size / 2:.1f}" y="{y_pixel - size / 2:.1f}"'
                parts.append(f'<rect {mark} {corner} width="{size}" height="{size}">{title}</rect>')
            else:
                parts.append(
                    f'<circle {mark} cx="{x_pixel:.1f}" cy="{y_pixel:.1f}" r="{size / 2}">{title}</circle>'
                )
    return Markup("".join(parts) + "</svg>")


def _thin(points: Points) -> Points:
    """Sort the points by x and keep at most _POINTS of them, evenly spaced."""
    points = sorted(points)
    if len(points) <= _POINTS:
        return points
    step = (len(points) - 1) / (_POINTS - 1)
    return [points[round(i * step)] for i in range(_POINTS)]


def _prefer_integers(values: list[float]) -> list[float]:
    """Return only the integers if there are at least two: ticks at half epochs make no sense."""
    integers = [v for v in values if float(v).is_integer()]
    return integers if len(integers) > 1 else values
