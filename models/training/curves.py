"""The metrics of a training: `epochs.csv` with all epochs, and `metrics.json` with the last and the best one.

Both are rewritten from the history after each epoch. DVCLive's callback for Lightning appends instead: after
a kill, epochs since the last checkpoint would be there twice.
"""

from pathlib import Path
from typing import Any

from dvclive import Live

from pipeline.store import epochs


def start_live(folder: Path) -> Live:
    """Start DVCLive in `folder`, without the files that this project does not use."""
    return Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)


def log_history(live: Live, history: list[dict[str, float]], stage: str, best: int | None = None) -> None:
    """Write the metrics of all epochs. best: the best one, from 1; None during training."""
    epochs.write_history(live.dir, history, stage)
    if not history:
        return
    live.step = len(history)
    metrics = {**history[-1], "epoch": len(history)}
    if best:
        metrics |= {f"best/{name}": value for name, value in {"epoch": best, **history[best - 1]}.items()}
    for name, value in metrics.items():
        live.log_metric(name, value, plot=False)
    live.make_summary()


def write_curves(config: dict[str, Any], folder: str | Path, stage: str) -> None:
    """Write the curves of a trained model again, from its configuration, as its training wrote them."""
    with start_live(Path(folder)) as live:
        for best in (None, config["chosen"]["best_epoch"]):  # twice, as in training: the same order of keys
            log_history(live, config["history"], stage, best)
