"""Compare frozen networks by linear probing: `python -m app.probe timm/resnet18 ...`."""

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

from models.inference.probe import ProbeResult, probe
from models.registry import select_keywords
from pipeline.cli import run
from pipeline.config import read
from pipeline.dataset import dataset
from pipeline.errors import UserError

SIDES = ("audio", "video")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or `arguments` instead of it."""
    parser = argparse.ArgumentParser(prog="python -m app.probe", description=__doc__)
    parser.add_argument(
        "networks", nargs="*", metavar="NAME", help="timm/..., torchvision/..., hf/...; none: those of towers"
    )
    parser.add_argument("--side", choices=SIDES, default="video", help="what they hear or see (video)")
    parser.add_argument(
        "--pretrained", metavar="PATH", help="a file of weights, or a folder of them; true: download them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(arguments)


def print_table(results: list[ProbeResult], console: Console) -> None:
    """Print a row for each layer: network, layer, accuracy with its interval, seconds."""
    if not results:
        return
    chance = results[0].metrics["chance"]["accuracy"]
    table = Table(
        title=f"Linear probing: accuracy of {results[0].metrics['n']} test clips (chance {chance:.3f})",
        title_justify="left",
    )
    for name in ("network", "layer", "numbers", "accuracy", "95% interval", "ms per clip"):
        table.add_column(name, justify="left" if name in ("network", "layer") else "right", overflow="fold")
    for result in results:
        low, high = result.metrics["ci"]["accuracy"]
        cells = (
            result.network,
            result.layer,
            str(result.n_features),
            f"{result.metrics['accuracy']:.3f}",
            f"{low:.3f}-{high:.3f}",
            f"{1000 * result.seconds:.1f}",
        )
        table.add_row(*cells)
    console.print(table, markup=False)


def probe_networks() -> None:
    """Probe the networks of the command line, or those of `towers` in params.yaml; print a table or JSON."""
    arguments = parse_arguments()
    params = read()
    names = arguments.networks or getattr(params.towers, arguments.side)
    if not names:
        raise UserError("no network: name some, such as timm/resnet18, or set towers in params.yaml")
    networks = select_keywords(names, getattr(params.encoders, arguments.side))
    if arguments.pretrained:
        pretrained = True if arguments.pretrained == "true" else arguments.pretrained
        networks = {name: keywords | {"pretrained": pretrained} for name, keywords in networks.items()}
    modality = params.modality if params.modality == "both" else arguments.side
    data = dataset.load("data", params.audio, params.video, params.input, modality=modality)
    results = probe(data, arguments.side, networks, params.label, params.evaluate.bootstrap, params.seed)
    if arguments.json:
        rows = [
            {
                "network": result.network,
                "layer": result.layer,
                "n_features": result.n_features,
                "seconds": round(result.seconds, 5),
                "metrics": result.metrics,
            }
            for result in results
        ]
        json.dump(rows, sys.stdout, indent=2)
        print()
    else:
        print_table(list(results), Console())


if __name__ == "__main__":
    run(probe_networks)
