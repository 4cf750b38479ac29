"""Small pictures and tables that `dvc plots` shows."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def save_spectrograms(
    path: str | Path, spectrograms: dict[str, np.ndarray], seconds: float | None = None
) -> Path:
    """A JPEG with one spectrogram (F, T), low frequencies first, for each label; at most 24 are drawn.

    `seconds` is how long each is, for the time axis; without it the axis has no numbers.
    """
    shown = dict(list(spectrograms.items())[:24])
    columns = min(4, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = _figure(3.2 * columns, 1.9 * rows)
    if not shown:
        figure.text(0.5, 0.5, "no classes", ha="center", va="center")
    for number, (label, values) in enumerate(shown.items()):
        axis = figure.add_subplot(rows, columns, number + 1)
        values = np.asarray(values, np.float32)
        low, high = _range(values)
        extent = (0, seconds, 0, len(values)) if seconds else None
        axis.imshow(values, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high, extent=extent)
        axis.set_title(label, fontsize=10, parse_math=False)
        axis.set_yticks([])
        if seconds:
            axis.tick_params(labelsize=8)
        else:
            axis.set_xticks([])
    return _saved(figure, path)


def save_inpainting(path: str | Path, rows: list[dict[str, Any]], lent: bool = False) -> Path:
    """A JPEG with a row for each clip: its sound and its picture whole, masked, and filled in.

    rows: as the evaluation of inpainting gives them. lent: patches were filled in with mean 0 and deviation
    1, and have those of the true ones here.
    """
    names = ("whole", "masked", "filled in, its means lent" if lent else "filled in")
    figure = _figure(9.6, 1.65 * max(1, len(rows)) + 0.3)
    if not rows:
        figure.text(0.5, 0.5, "nothing was masked", ha="center", va="center")
    grid = figure.subplots(max(1, len(rows)), 6, squeeze=False) if rows else []
    for row, axes in zip(rows, grid, strict=True):
        low, high = _range(row["audio"][0])
        colours = colormaps["magma"].with_extremes(bad="#808080")
        for axis, values in zip(axes[:3], row["audio"], strict=True):
            axis.imshow(values, origin="lower", aspect="auto", cmap=colours, vmin=low, vmax=high)
        for axis, image in zip(axes[3:], row["video"], strict=True):
            axis.imshow(image)
        axes[0].set_ylabel(row["clip_id"], fontsize=7, parse_math=False)
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
    for axis, name in zip(grid[0] if rows else [], names * 2, strict=False):
        axis.set_title(name, fontsize=9)
    return _saved(figure, path)


def _figure(width: float, height: float) -> Any:
    """Inches. Agg without pyplot: no window system is asked for, and nothing global changes."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _range(values: np.ndarray) -> tuple[float, float]:
    """Which values are drawn dark, and which bright."""
    known = values[np.isfinite(values)]
    return tuple(np.percentile(known, [5, 99.8])) if known.size else (0.0, 1.0)


def _saved(figure: Any, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="jpeg", pil_kwargs={"quality": 80})
    return path
