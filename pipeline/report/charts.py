"""Line charts as inline SVG that takes its colours from the page (classes `grid`, `axis`, `line-0`, ...)."""

import math

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 12, 42
HUES = 12  # colours of a scatter; further groups begin with the first one again
_POINTS = 300  # more than one a pixel is only weight

Points = list[tuple[float, float]]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers that span low..high: steps of 1, 2 or 5 times a power of ten."""
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
    """Each series as a line of its own colour and dash; points are dots as well where there are few.

    `label` tells the chart in words to those who do not see it. Axes follow the data unless ticks are given.
    """
    series = {name: _thin(points) for name, points in series.items() if points}
    points = [p for line in series.values() for p in line]
    if not points:
        return Markup("")
    x_ticks = x_ticks or _whole(ticks(min(x for x, _ in points), max(x for x, _ in points)))
    y_ticks = y_ticks or ticks(min(y for _, y in points), max(y for _, y in points))
    if len({x for x, _ in points}) > 1 and not diagonal:  # let the lines use the whole width
        span = (min(x for x, _ in points), max(x for x, _ in points))
        x_ticks = [t for t in x_ticks if span[0] <= t <= span[1]]
    else:
        span = (x_ticks[0], x_ticks[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        right = (x - span[0]) / (span[1] - span[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return (
            _LEFT + right * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    base = _HEIGHT - _BOTTOM
    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">']
    for tick in y_ticks:
        _, y = at(span[0], tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x, _ = at(tick, y_ticks[0])
        parts.append(f'<path class="axis" d="M{x:.1f} {base}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {base}H{_WIDTH - _RIGHT}"/>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="name" x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">{escape(x_name)}</text>'
    )
    across = (_TOP + base) / 2
    parts.append(
        f'<text class="name" transform="translate(12 {across}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_name)}</text>"
    )
    if diagonal:
        (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
        parts.append(f'<path class="chance-line" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')
    for number, line in enumerate(series.values()):
        spots = [at(x, y) for x, y in line]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(f'<path class="line line-{number % 6}" d="M{path}"/>')
        if len(spots) <= 16 and not diagonal:
            parts += [
                f'<circle class="spot spot-{number % 6}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in spots
            ]
    return Markup("".join(parts) + "</svg>")


def scatter(groups: dict[str, list[tuple[float, float, str, str]]], label: str) -> Markup:
    """Points of several groups, each in a colour of its own: (x, y, shape, what it is), shape "dot" or "box".

    Axes have no meaning and are not drawn. `label` tells the chart in words to those who do not see it.
    """
    points = [p for group in groups.values() for p in group]
    if not points:
        return Markup("")
    (left, right), (low, high) = (
        (min(v), max(v)) for v in zip(*((x, y) for x, y, *_ in points), strict=True)
    )
    side, size = 560, 9
    parts = [f'<svg class="chart map" viewBox="0 0 {side} {side}" role="img" aria-label="{escape(label)}">']
    for number, group in enumerate(groups.values()):
        for x, y, shape, text in group:
            across = 12 + (x - left) / ((right - left) or 1) * (side - 24)
            down = 12 + (high - y) / ((high - low) or 1) * (side - 24)
            mark = f'class="hue hue-{number % HUES}"'
            title = f"<title>{escape(text)}</title>"
            if shape == "box":
                corner = f'x="{across - size / 2:.1f}" y="{down - size / 2:.1f}"'
                parts.append(f'<rect {mark} {corner} width="{size}" height="{size}">{title}</rect>')
            else:
                parts.append(
                    f'<circle {mark} cx="{across:.1f}" cy="{down:.1f}" r="{size / 2}">{title}</circle>'
                )
    return Markup("".join(parts) + "</svg>")


def _thin(points: Points) -> Points:
    points = sorted(points)
    if len(points) <= _POINTS:
        return points
    step = (len(points) - 1) / (_POINTS - 1)
    return [points[round(i * step)] for i in range(_POINTS)]


def _whole(values: list[float]) -> list[float]:
    """Only the whole numbers, if there are at least two: epochs have no halves."""
    whole = [v for v in values if float(v).is_integer()]
    return whole if len(whole) > 1 else values
