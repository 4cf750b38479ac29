"""The figure of small data: accuracy and nDCG@30 by the number of clips, a line for each arm."""

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.small_data.table import ALL, describe_size, first_arm, sizes_of

FILE = "small_data.png"
ROWS = {"accuracy": "accuracy", "ndcg_30": "nDCG@30, sound to picture"}  # metric -> name of the axis
MARKERS = "osD^v"
SHIFT = 0.06  # of the lines to each other, so that their intervals are not on top of each other


def save(path: Path, metrics: dict[str, Any]) -> None:
    """Write the figure as PNG: a column for each data set. metrics: the content of metrics.json."""
    results, about = metrics["results"], metrics["about"]
    figure = Figure(figsize=(1 + 4 * len(results), 6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(ROWS), len(results), squeeze=False, sharey="row")
    for column, (name, arms) in enumerate(results.items()):
        first = arms[first_arm(arms)][ALL]
        chance = {"accuracy": 0.5, "ndcg_30": first["ndcg_30"]["chance"]}
        sizes = sizes_of(arms)
        for row, (metric, title) in enumerate(ROWS.items()):
            axis = grid[row][column]
            axis.axhline(chance[metric], color="grey", linestyle=":", label="chance")
            for number, (arm, by_size) in enumerate(arms.items()):
                shift = SHIFT * (number - (len(arms) - 1) / 2)
                values = [by_size[size][metric][metric] for size in sizes]
                ends = [by_size[size][metric]["ci"][metric] for size in sizes]
                below = [value - low for value, (low, _) in zip(values, ends, strict=True)]
                above = [high - value for value, (_, high) in zip(values, ends, strict=True)]
                places = [place + shift for place in range(len(sizes))]
                marker = MARKERS[number % len(MARKERS)]
                axis.errorbar(places, values, [below, above], marker=marker, capsize=3, label=arm)
            axis.set_xticks(range(len(sizes)), [describe_size(size, about[name]) for size in sizes])
            if column == 0:
                axis.set_ylabel(title)
            if row == 0:
                axis.set_title(f"{name} (n = {first['accuracy']['n']} pairs)", parse_math=False)
        grid[-1][column].set_xlabel("training clips of a class")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    path.unlink(missing_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
