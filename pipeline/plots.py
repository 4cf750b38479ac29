"""Small pictures and tables that `dvc plots` shows."""

from pathlib import Path

import numpy as np


def save_spectrograms(
    path: str | Path, spectrograms: dict[str, np.ndarray], seconds: float | None = None
) -> Path:
    """A JPEG with one spectrogram (F, T), low frequencies first, for each label; at most 24 are drawn.

    `seconds` is how long each is, for the time axis; without it the axis has no numbers.
    """
    # Agg without pyplot: no window system is asked for, and nothing global changes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = dict(list(spectrograms.items())[:24])
    columns = min(4, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(3.2 * columns, 1.9 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    if not shown:
        figure.text(0.5, 0.5, "no classes", ha="center", va="center")
    for number, (label, values) in enumerate(shown.items()):
        axis = figure.add_subplot(rows, columns, number + 1)
        values = np.asarray(values, np.float32)
        known = values[np.isfinite(values)]
        low, high = np.percentile(known, [5, 99.8]) if known.size else (0.0, 1.0)
        extent = (0, seconds, 0, len(values)) if seconds else None
        axis.imshow(values, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high, extent=extent)
        axis.set_title(label, fontsize=10, parse_math=False)
        axis.set_yticks([])
        if seconds:
            axis.tick_params(labelsize=8)
        else:
            axis.set_xticks([])
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="jpeg", pil_kwargs={"quality": 80})
    return path
