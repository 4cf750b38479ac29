"""A published CAV-MAE checkpoint as a model of this project: `python -m app.convert model.pth FOLDER`.

Reads what the authors' code writes (YuanGongND/cav-mae; `.pth`, opened as weights only, or `.safetensors`),
pretraining or fine-tuned, and writes `model.safetensors` and `config.json` into a folder, which
`classification.start` and `models.checkpoint.load` take.
"""

import argparse
import csv

from models.sharing import cav_mae_checkpoint
from pipeline.cli import run
from pipeline.errors import UserError

NAMES = ("display_name", "name", "label")  # columns that a list of classes may have


def classes(path: str) -> list[str]:
    """Names in the order of the outputs: AudioSet's class_labels_indices.csv, or a name a line."""
    try:
        with open(path, newline="", encoding="utf-8") as f:
            lines = f.read().splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: cannot be read ({e})") from None
    header = next(csv.reader(lines[:1]), [])
    column = next((header.index(name) for name in NAMES if name in header), None)
    if column is None:  # names may have commas in them
        return [line.strip() for line in lines if line.strip()]
    rows = [row for row in csv.reader(lines[1:]) if row]
    if short := [i for i, row in enumerate(rows, 2) if len(row) <= column]:
        raise UserError(f"{path}: line {short[0]} has no {header[column]}")
    return [row[column] for row in rows]


def convert() -> None:
    parser = argparse.ArgumentParser(prog="python -m app.convert", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="the published file")
    parser.add_argument("out", help="a folder for the model")
    parser.add_argument("--classes", help="names of a fine-tuned model's outputs: a CSV file, or one a line")
    parser.add_argument(
        "--one-label", action="store_true", help="a clip has one label (VGGSound), not several"
    )
    for name, default in (("--heads", 12), ("--decoder-heads", 16)):
        parser.add_argument(
            name, type=int, default=default, help=f"attention heads ({default}, as published)"
        )
    given = parser.parse_args()
    names = classes(given.classes) if given.classes else None
    heads = {"heads": given.heads, "decoder_heads": given.decoder_heads}
    config = cav_mae_checkpoint.convert(given.checkpoint, given.out, names, given.one_label, **heads)
    sizes = config["encoders"]["joint"]
    what = f"{len(config['classes'])} classes" if "classes" in config else "with its decoder"
    layers = f"{sizes['layers']} + {sizes['joint_layers']} layers"
    print(f"convert: {given.out}: {config['task']}, width {sizes['width']}, {layers}, {what}")


if __name__ == "__main__":
    run(convert)
