"""Pictures: JPEG files that `dvc plots` shows, and a PNG of metrics with their intervals."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

MAX_SPECTROGRAMS = 24
PERCENTILES = (5, 99.8)  # of the values: drawn darkest and brightest


def save_spectrograms(path: str | Path, spectrograms: dict[str, np.ndarray], seconds: float) -> Path:
    """Write a JPEG with one spectrogram for each label (at most MAX_SPECTROGRAMS), and return its path.

    spectrograms: label -> (freq, time), low frequencies first. seconds: their duration.
    """
    spectrograms = dict(list(spectrograms.items())[:MAX_SPECTROGRAMS])
    columns = min(4, max(1, len(spectrograms)))
    rows = max(1, math.ceil(len(spectrograms) / columns))
    figure = _figure(3.2 * columns, 1.9 * rows)
    if not spectrograms:
        figure.text(0.5, 0.5, "no classes", ha="center", va="center")
    for number, (label, values) in enumerate(spectrograms.items()):
        axis = figure.add_subplot(rows, columns, number + 1)
        values = np.asarray(values, np.float32)
        low, high = _range(values)
        extent = (0, seconds, 0, len(values))
        axis.imshow(values, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high, extent=extent)
        axis.set_title(label, fontsize=10, parse_math=False)
        axis.set_yticks([])
        axis.tick_params(labelsize=8)
    return _save(figure, path)


def save_inpainting(path: str | Path, rows: list[dict[str, Any]], normalized: bool = False) -> Path:
    """Write a JPEG with a row for each clip, sound and picture whole, masked and filled in; return its path.

    rows: {"clip_id", "audio": three spectrograms (freq, time), "video": three pictures (H, W, 3)} of each
    clip. Masked patches of a spectrogram are NaN. normalized: the model reconstructs patches of mean 0 and
    standard deviation 1; the given ones have the mean and deviation of the original patches, and the titles
    say so.
    """
    column_titles = ("whole", "masked", "filled in, original means" if normalized else "filled in")
    figure = _figure(9.6, 1.65 * max(1, len(rows)) + 0.3)
    if not rows:
        figure.text(0.5, 0.5, "nothing was masked", ha="center", va="center")
    grid = figure.subplots(max(1, len(rows)), 6, squeeze=False) if rows else []
    for row, axes in zip(rows, grid, strict=True):
        low, high = _range(row["audio"][0])
        colours = colormaps["magma"].with_extremes(bad="#808080")  # NaN is grey
        for axis, values in zip(axes[:3], row["audio"], strict=True):
            axis.imshow(values, origin="lower", aspect="auto", cmap=colours, vmin=low, vmax=high)
        for axis, image in zip(axes[3:], row["video"], strict=True):
            axis.imshow(image)
        axes[0].set_ylabel(row["clip_id"], fontsize=7, parse_math=False)
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
    if rows:
        for axis, title in zip(grid[0], column_titles * 2, strict=True):
            axis.set_title(title, fontsize=9)
    return _save(figure, path)


class Interval(NamedTuple):
    """A value with its interval, which has a name."""

    name: str
    value: float
    low: float
    high: float


def save_intervals(path: str | Path, panels: dict[str, list[Interval]]) -> Path:
    """Write a PNG with a panel for each metric, and return its path.

    panels: title -> values, one below the other, of the same names in each panel.
    """
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    names = [interval.name for interval in next(iter(panels.values()))]
    figure = _figure(3.2 * columns + 1, (0.9 + 0.25 * len(names)) * rows)
    for number, (title, intervals) in enumerate(panels.items()):
        axis = figure.add_subplot(rows, columns, number + 1)
        for row, (_, value, low, high) in enumerate(intervals):
            axis.plot([low, high], [row, row], color=f"C{row % 10}", linewidth=2)
            axis.plot([value], [row], "o", color=f"C{row % 10}")
        axis.set_title(title, fontsize=9, parse_math=False)
        axis.set_yticks(range(len(names)), names if number % columns == 0 else [""] * len(names), fontsize=8)
        for label in axis.get_yticklabels():
            label.set_parse_math(False)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.tick_params(labelsize=8)
        axis.grid(axis="x", linewidth=0.5)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
    return path


def _figure(width: float, height: float) -> Any:
    """Create a figure of this size in inches.

    It uses the backend Agg without pyplot, which needs no window system and has no global state.
    """
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return the values of a spectrogram (freq, time) that are drawn darkest and brightest."""
    finite = values[np.isfinite(values)]
    return tuple(np.percentile(finite, PERCENTILES)) if finite.size else (0.0, 1.0)


def _save(figure: Any, path: str | Path) -> Path:
    """Write a figure as a JPEG, create the folder if necessary, and return the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="jpeg", pil_kwargs={"quality": 80})
    return path
