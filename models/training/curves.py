"""The metrics of a training: `epochs.csv` with all epochs, and `metrics.json` with the last and the best one.

Both are rewritten from the history after each epoch. DVCLive's callback for Lightning appends instead: after
a kill, epochs since the last checkpoint would be there twice.
"""

from pathlib import Path
from typing import Any

from dvclive import Live

from pipeline.store import epochs


def start_live(folder: Path) -> Live:
    """Return a logger of DVCLive that writes into `folder`, without files that this project does not use."""
    return Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)


def log_history(live: Live, history: list[dict[str, float]], stage: str, best: int | None = None) -> None:
    """Write the metrics of all epochs to files in the folder of `live`, in place of what is there.

    history: the metrics of each epoch, by name. stage: the stage that trains, `train` or `pretrain`. best:
    number of the best epoch, from 1, whose metrics are added as `best/<name>`; None during training.
    """
    epochs.write_history(live.dir, history, stage)
    if not history:
        return
    live.step = len(history)
    metrics = {**history[-1], "epoch": len(history)}
    if best:
        best_metrics = {"epoch": best, **history[best - 1]}
        metrics |= {f"best/{name}": value for name, value in best_metrics.items()}
    for name, value in metrics.items():
        live.log_metric(name, value, plot=False)
    live.make_summary()


def write_curves(config: dict[str, Any], folder: str | Path, stage: str) -> None:
    """Write the curves of a trained model into `folder`, the same files that its training wrote.

    config: the content of the model's config.json. stage: the stage whose curves they are.
    """
    history, best = config["history"], config["chosen"]["best_epoch"]
    with start_live(Path(folder)) as live:
        # Twice, as training does: the order of the keys in metrics.json depends on it.
        log_history(live, history, stage)
        log_history(live, history, stage, best)
